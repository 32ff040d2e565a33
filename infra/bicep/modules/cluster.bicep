metadata name = 'AKS cluster'
metadata description = 'AKS with workload identity, the Key Vault add-on, Azure Policy and Dapr. Local accounts are disabled.'

import { Tags } from 'tags.bicep'

@export()
type Zone = '1' | '2' | '3'

@export()
@sealed()
type Pool = {
  @description('Required. Virtual machine size, such as Standard_D2s_v5.')
  vmSize: string

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
@sealed()
type Administrator = {
  @description('Required. Object id in Microsoft Entra ID, a UUID.')
  @minLength(36)
  @maxLength(36)
  id: string

  @description('Required. Kind of principal that the object id belongs to.')
  type: 'Group' | 'ServicePrincipal' | 'User'
}

@export()
@discriminator('dns')
type ApiServer = Public | PrivateSystemDns | PrivateWithoutDns | PrivateCustomDns

@sealed()
type Public = {
  @description('Required. The API server has a public name and address.')
  dns: 'public'

  @description('Optional. Client addresses that can connect, in CIDR notation. Without it any address can connect; requests still need a token.')
  @minLength(1)
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

@description('Required. Name of the AKS cluster.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Standard: control plane with an uptime SLA. Free: without one.')
param tier 'Free' | 'Standard'

@description('Required. Availability zones of the nodes; an empty list in regions without zones.')
param zones Zone[]

@description('Required. Node pool for the workloads of the cluster itself.')
param systemPool Pool

@description('Required. Node pool for the services.')
param userPool Pool

@description('Required. Whether the API server is public or private, and how its name resolves.')
param apiServer ApiServer

@description('Optional. Cluster administrator. Without it, no user can access the Kubernetes API until you assign a role.')
param administrator Administrator?

@description('Required. Name of the virtual network, in this resource group; it has a subnet called nodes.')
param networkName string

@description('Required. Name of the managed identity of the control plane, in this resource group.')
param identityName string

@description('Required. Name of the Log Analytics workspace for control-plane logs, in this resource group.')
param workspaceName string

var isPrivate = apiServer.dns != 'public'
var hasOwnZone = apiServer.dns == 'custom'

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' existing = {
  name: networkName

  resource nodes 'subnets' existing = {
    name: 'nodes'
  }
}

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
    dnsPrefix: hasOwnZone ? null : name
    fqdnSubdomain: hasOwnZone ? name : null
    apiServerAccessProfile: {
      enablePrivateCluster: isPrivate
      privateDNSZone: !isPrivate
        ? null
        : apiServer.dns == 'custom' ? resourceId('Microsoft.Network/privateDnsZones', apiServer.zone) : apiServer.dns
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
    }
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      networkPolicy: 'cilium' // enforces the network policies of infra/kubernetes
      serviceCidr: '10.3.0.0/24'
      dnsServiceIP: '10.3.0.10'
      podCidr: '10.244.0.0/16'
    }
    autoUpgradeProfile: { upgradeChannel: 'stable', nodeOSUpgradeChannel: 'NodeImage' }
    agentPoolProfiles: [
      {
        name: 'system'
        mode: 'System'
        nodeTaints: ['CriticalAddonsOnly=true:NoSchedule']
        vmSize: systemPool.vmSize
        enableAutoScaling: true
        count: systemPool.min
        minCount: systemPool.min
        maxCount: systemPool.max
        availabilityZones: zones
        vnetSubnetID: network::nodes.id
        tags: tags // of the scale set, its disks and network interfaces
      }
      {
        name: 'user'
        mode: 'User'
        vmSize: userPool.vmSize
        enableAutoScaling: true
        count: userPool.min
        minCount: userPool.min
        maxCount: userPool.max
        availabilityZones: zones
        vnetSubnetID: network::nodes.id
        tags: tags // of the scale set, its disks and network interfaces
      }
    ]
  }
}

resource dapr 'Microsoft.KubernetesConfiguration/extensions@2025-03-01' = {
  scope: cluster
  name: 'dapr'
  properties: {
    extensionType: 'Microsoft.Dapr'
    autoUpgradeMinorVersion: true
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
    logs: [{ category: 'guard', enabled: true }, { category: 'kube-audit-admin', enabled: true }]
  }
}

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers#azure-kubernetes-service-rbac-cluster-admin
var clusterAdmin = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b'
)

resource administer 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (administrator != null) {
  scope: cluster
  name: guid(cluster.id, administrator.?id ?? '', clusterAdmin)
  properties: {
    principalId: administrator!.id
    principalType: administrator!.type
    roleDefinitionId: clusterAdmin
  }
}

@description('OIDC issuer of the cluster; federated credentials trust it.')
output issuer string = cluster.properties.oidcIssuerProfile.issuerURL

@description('Client id of the Key Vault add-on; KEY_VAULT_ADDON_CLIENT_ID in infra/kubernetes.')
output keyVaultAddonClientId string = cluster.properties.addonProfiles.azureKeyvaultSecretsProvider.identity.clientId

@description('Object id of the identity of the nodes, which AKS creates; it pulls the images.')
output kubeletPrincipalId string = cluster.properties.identityProfile.kubeletidentity.objectId
