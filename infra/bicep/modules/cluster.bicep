metadata name = 'AKS cluster'
metadata description = 'AKS with workload identity, the Key Vault add-on, Azure Policy and Dapr. Local accounts are disabled.'

import { Tags } from 'tags.bicep'

@export()
type Zone = '1' | '2' | '3'

@export()
@sealed()
type Pool = {
  @description('Required. Virtual machine size, such as Standard_D4s_v5: 4 vCPU or more and no B series for the system pool, 2 vCPU or more for others.')
  vmSize: string

  @description('Optional. Size of the OS disk of each node in GiB: 30 to 2048. Without it AKS chooses, 128 GiB for sizes with up to 7 vCPU.')
  @minValue(30)
  @maxValue(2048)
  osDiskSizeGB: int?

  @description('Required. Minimum number of nodes: 1 to 1000.')
  @minValue(1)
  @maxValue(1000)
  min: int

  @description('Required. Maximum number of nodes: 1 to 1000, not less than min.')
  @minValue(1)
  @maxValue(1000)
  max: int
}

@export()
@discriminator('dns')
type ApiServer = Public | PrivateSystemDns | PrivateWithoutDns | PrivateCustomDns | PrivateExistingDns

@sealed()
type Public = {
  @description('Required. The API server has a public name and address.')
  dns: 'public'

  @description('Optional. Client addresses that can connect, in CIDR notation. Without it any address can connect; requests still need a token.')
  @minLength(1)
  @maxLength(200)
  authorizedRanges: string[]?
}

@sealed()
type PrivateSystemDns = {
  @description('Required. The API server has a private address. AKS creates the private DNS zone.')
  dns: 'system'
}

@sealed()
type PrivateWithoutDns = {
  @description('Required. The API server has a private address and a public name, for networks without private DNS zones.')
  dns: 'none'
}

@sealed()
type PrivateCustomDns = {
  @description('Required. The API server has a private address. This template creates the private DNS zone.')
  dns: 'custom'

  @description('Required. Name of the zone: privatelink.REGION.azmk8s.io or a subdomain of it.')
  zone: string
}

@sealed()
type PrivateExistingDns = {
  @description('Required. The API server has a private address. Its name is in a private DNS zone that exists.')
  dns: 'existing'

  @description('Required. Resource id of the zone, in any resource group or subscription. Its name is privatelink.REGION.azmk8s.io or SUBZONE.privatelink.REGION.azmk8s.io.')
  zoneId: string

  @description('Required. create: link the zone to the network of the nodes. exists: the nodes can resolve the zone already, by a link or by their DNS servers. A network can have one link to a zone.')
  link: 'create' | 'exists'
}

@export()
@sealed()
type Network = {
  @description('Required. Resource id of the subnet of the nodes, in any resource group or subscription. The subnet is in the region of the cluster, has no delegation, and reaches the Internet.')
  subnetId: string

  @description('Optional. Addresses of the pods. Outside of the network and all networks that it reaches. Defaults to 10.244.0.0/16.')
  podCidr: string?

  @description('Optional. Addresses of the Kubernetes services, a /28 or larger. Outside of the network and all networks that it reaches. Defaults to 10.3.0.0/24.')
  serviceCidr: string?
}

@export()
@sealed()
type Maintenance = {
  @description('Required. Day of the week.')
  day: 'Monday' | 'Tuesday' | 'Wednesday' | 'Thursday' | 'Friday' | 'Saturday' | 'Sunday'

  @description('Required. Hour at which upgrades can start: 0 to 23.')
  @minValue(0)
  @maxValue(23)
  hour: int

  @description('Required. Length in hours: 4 to 24.')
  @minValue(4) // https://learn.microsoft.com/azure/aks/planned-maintenance#create-a-maintenance-window
  @maxValue(24)
  hours: int

  @description('Optional. Time zone of hour as an offset from UTC, such as +01:00. Defaults to +00:00.')
  @minLength(6)
  @maxLength(6)
  utcOffset: string?
}

@export()
@description('containerInsights: logs of the containers and Kubernetes events. prometheus: metrics.')
type Monitoring = ('containerInsights' | 'prometheus')[]

@description('Required. Name of the AKS cluster.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Standard: control plane with an uptime SLA. Free: without one.')
param tier 'Free' | 'Standard'

@description('Optional. Availability zones of the nodes; an empty list for none. Defaults to all zones of the region.')
param zones Zone[]?

@description('Required. Whether the cluster exists. true: its pools keep the number of nodes that they have. false: they start with min nodes.')
param exists bool

@description('Required. Node pool for the workloads of the cluster itself.')
param systemPool Pool

@description('Required. Node pool for the services.')
param userPool Pool

@description('Required. Whether the API server is public or private, and how its name resolves.')
param apiServer ApiServer

@description('Required. Resource id of the subnet of the nodes.')
param subnetId string

@description('Optional. Addresses of the pods and of the Kubernetes services, if not the default.')
param network Network?

@description('Optional. Resource id of the private DNS zone, if apiServer selects one.')
param zoneId string?

@description('Required. true: enable the Gateway API and its class approuting-istio. false: leave them as they are.')
param gateway bool

@description('Optional. Version that the Dapr extension keeps. none: no extension. Without it, the newest that the extension offers, with automatic upgrades.')
param daprVersion string?

@description('Optional. Weekly window of automatic upgrades. Without it, AKS can upgrade at any time.')
param maintenance Maintenance?

@description('Required. What Azure Monitor collects from the containers.')
param monitoring Monitoring

@description('Required. Name of the managed identity of the control plane, in this resource group.')
param identityName string

@description('Required. Name of the Log Analytics workspace for control-plane logs, in this resource group.')
param workspaceName string

var isPrivate = apiServer.dns != 'public'
var serviceCidr = network.?serviceCidr ?? '10.3.0.0/24'

// Returns [] for a region without zones. The nodes are virtual machine scale sets.
// https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions-resource#pickzones
var nodeZones = zones ?? pickZones('Microsoft.Compute', 'virtualMachineScaleSets', location, 3)

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: workspaceName
}

resource cluster 'Microsoft.ContainerService/managedClusters@2026-08-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Base', tier: tier }
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    dnsPrefix: name // AKS adds a hash, so that several clusters can have names in one zone
    apiServerAccessProfile: {
      enablePrivateCluster: isPrivate
      privateDNSZone: isPrivate ? zoneId ?? apiServer.dns : null
      enablePrivateClusterPublicFQDN: isPrivate ? apiServer.dns == 'none' : null
      authorizedIPRanges: apiServer.dns == 'public' ? apiServer.?authorizedRanges ?? [] : null
    }
    disableLocalAccounts: true
    enableRBAC: true
    aadProfile: { managed: true, enableAzureRBAC: true, tenantID: tenant().tenantId }
    oidcIssuerProfile: { enabled: true }
    securityProfile: { workloadIdentity: { enabled: true } }
    addonProfiles: {
      azureKeyvaultSecretsProvider: {
        enabled: true
        config: { enableSecretRotation: 'true', rotationPollInterval: '2m' }
      }
      azurepolicy: { enabled: true }
      omsagent: contains(monitoring, 'containerInsights')
        ? { enabled: true, config: { logAnalyticsWorkspaceResourceID: workspace.id, useAADAuth: 'true' } }
        : { enabled: false }
    }
    azureMonitorProfile: { metrics: { enabled: contains(monitoring, 'prometheus') } }
    // https://learn.microsoft.com/azure/aks/app-routing-gateway-api
    // null instead of Disabled, which would take a Gateway offline that an earlier deployment or `az aks update` enabled.
    ingressProfile: gateway
      ? {
          gatewayAPI: { installation: 'Standard' }
          webAppRouting: { gatewayAPIImplementations: { appRoutingIstio: { mode: 'Enabled' } } }
        }
      : null
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      // Enforces the network policies of infra/kubernetes, which also keep pods from the metadata service of the node.
      // podLinkLocalAccess 'None' would, too: a preview that AKS refuses for clusters with Azure Policy.
      // https://learn.microsoft.com/azure/aks/imds-restriction#limitations
      networkPolicy: 'cilium'
      serviceCidr: serviceCidr
      dnsServiceIP: cidrHost(serviceCidr, 9) // the tenth address, as Kubernetes does by default
      podCidr: network.?podCidr ?? '10.244.0.0/16'
    }
    autoUpgradeProfile: { upgradeChannel: 'stable', nodeOSUpgradeChannel: 'NodeImage' }
    // AKS refuses a new pool without a count, although it has minCount:
    // https://github.com/Azure/terraform-azurerm-avm-res-containerservice-managedcluster/issues/184
    // In a later deployment, a count would replace the number of nodes that the autoscaler chose:
    // https://github.com/Azure/ARO-HCP/pull/3659
    agentPoolProfiles: [
      {
        name: 'system'
        mode: 'System'
        nodeTaints: ['CriticalAddonsOnly=true:NoSchedule']
        vmSize: systemPool.vmSize
        osDiskSizeGB: systemPool.?osDiskSizeGB
        enableAutoScaling: true
        count: exists ? null : systemPool.min
        minCount: systemPool.min
        maxCount: systemPool.max
        availabilityZones: nodeZones
        vnetSubnetID: subnetId
        tags: tags // of the scale set, its disks and network interfaces
      }
      {
        name: 'user'
        mode: 'User'
        vmSize: userPool.vmSize
        osDiskSizeGB: userPool.?osDiskSizeGB
        enableAutoScaling: true
        count: exists ? null : userPool.min
        minCount: userPool.min
        maxCount: userPool.max
        availabilityZones: nodeZones
        vnetSubnetID: subnetId
        tags: tags // of the scale set, its disks and network interfaces
      }
    ]
  }
}

// AKS upgrades Kubernetes and the images of the nodes in the same window.
var schedules = maintenance == null ? [] : ['aksManagedAutoUpgradeSchedule', 'aksManagedNodeOSUpgradeSchedule']

resource windows 'Microsoft.ContainerService/managedClusters/maintenanceConfigurations@2026-08-01' = [
  for schedule in schedules: {
    parent: cluster
    name: schedule
    properties: {
      maintenanceWindow: {
        schedule: { weekly: { dayOfWeek: maintenance!.day, intervalWeeks: 1 } }
        startTime: '${padLeft(maintenance!.hour, 2, '0')}:00'
        durationHours: maintenance!.hours
        utcOffset: maintenance.?utcOffset ?? '+00:00'
      }
    }
  }
]

resource dapr 'Microsoft.KubernetesConfiguration/extensions@2025-03-01' = if (daprVersion != 'none') {
  scope: cluster
  name: 'dapr'
  properties: {
    extensionType: 'Microsoft.Dapr'
    // https://learn.microsoft.com/azure/aks/dapr#target-a-specific-dapr-version
    autoUpgradeMinorVersion: daprVersion == null
    version: daprVersion
    releaseTrain: 'Stable'
    scope: { cluster: { releaseNamespace: 'dapr-system' } }
    configurationSettings: {
      'dapr_sidecar_injector.sidecarDropALLCapabilities': 'true' // required by the restricted Pod Security level
    }
  }
}

#disable-next-line use-recent-api-versions // no stable version supports these log categories
resource logging 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: cluster
  name: 'logs'
  properties: {
    workspaceId: workspace.id
    logAnalyticsDestinationType: 'Dedicated' // tables AKSAuditAdmin and AKSControlPlane
    logs: [{ category: 'guard', enabled: true }, { category: 'kube-audit-admin', enabled: true }]
  }
}

@description('OIDC issuer of the cluster; federated credentials trust it.')
output issuer string = cluster.properties.oidcIssuerProfile.issuerURL

@description('Client id of the identity of the Key Vault add-on, which AKS creates; the driver signs in with it.')
output keyVaultAddonClientId string = cluster.properties.addonProfiles.azureKeyvaultSecretsProvider.identity.clientId

@description('Object id of the same identity, for role assignments.')
output keyVaultAddonPrincipalId string = cluster.properties.addonProfiles.azureKeyvaultSecretsProvider.identity.objectId

@description('Object id of the identity of the nodes, which AKS creates; it pulls the images.')
output kubeletPrincipalId string = cluster.properties.identityProfile.kubeletidentity.objectId
