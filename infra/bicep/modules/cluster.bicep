metadata name = 'Cluster'
metadata description = 'AKS with workload identity, Key Vault, Azure Policy and Dapr, and without any account of its own.'

@description('Required. Name of the cluster.')
param name string

@description('Required. Where it is.')
param location string

@description('Required. Control plane with or without a service level agreement.')
param tier 'Free' | 'Standard'

@description('Required. Availability zones of the nodes.')
param zones Zone[]

@description('Required. Nodes of the cluster\'s own workloads.')
param systemPool Pool

@description('Required. Nodes of the services.')
param userPool Pool

@description('Required. How the API server is reached.')
param apiServer ApiServer

@description('Optional. Who administers the cluster. Without one nobody may use its API until somebody is given a role.')
param administrator Administrator?

@description('Required. Network with the subnet nodes, in this resource group.')
param networkName string

@description('Required. Identity of the control plane, in this resource group.')
param identityName string

@description('Required. Identity of the nodes, in this resource group.')
param kubeletIdentityName string

@description('Required. Log Analytics workspace for the logs of the control plane, in this resource group.')
param workspaceName string

@export()
type Zone = '1' | '2' | '3'

@export()
@sealed()
type Pool = {
  @description('Required. Size of its virtual machines.')
  vmSize: string

  @description('Required. Fewest nodes.')
  @minValue(1)
  @maxValue(1000)
  min: int

  @description('Required. Most nodes.')
  @minValue(1)
  @maxValue(1000)
  max: int
}

@export()
@sealed()
type Administrator = {
  @description('Required. Object id.')
  @minLength(36)
  @maxLength(36)
  id: string

  @description('Required. What it is.')
  type: 'Group' | 'ServicePrincipal' | 'User'
}

@export()
@discriminator('dns')
type ApiServer = Public | PrivateSystemDns | PrivateWithoutDns | PrivateCustomDns

@sealed()
type Public = {
  @description('Required. A public name and address.')
  dns: 'public'

  @description('Optional. Who may reach it, in CIDR notation. Without it anybody, who then needs a token.')
  @minLength(1)
  authorizedRanges: string[]?
}

@sealed()
type PrivateSystemDns = {
  @description('Required. A private address, named in a private zone that AKS makes.')
  dns: 'system'
}

@sealed()
type PrivateWithoutDns = {
  @description('Required. A private address behind a public name, for networks that have no private zones.')
  dns: 'none'
}

@sealed()
type PrivateCustomDns = {
  @description('Required. A private address, named in the private zone given, which is made here.')
  dns: 'custom'

  @description('Required. privatelink.REGION.azmk8s.io or a subdomain of it.')
  zone: string
}

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

resource kubeletIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: kubeletIdentityName
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: workspaceName
}

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/identity#managed-identity-operator
var identityOperator = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'f1a07417-d97a-45cb-824c-7a7467783830'
)

resource giveToNodes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: kubeletIdentity
  name: guid(kubeletIdentity.id, identity.id, identityOperator)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: identityOperator
  }
}

resource cluster 'Microsoft.ContainerService/managedClusters@2026-08-01' = {
  name: name
  location: location
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
    identityProfile: {
      kubeletidentity: {
        resourceId: kubeletIdentity.id
        clientId: kubeletIdentity.properties.clientId
        objectId: kubeletIdentity.properties.principalId
      }
    }
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
      networkPolicy: 'cilium' // the manifests have network policies
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
      }
    ]
  }
  dependsOn: [giveToNodes]
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
      'dapr_sidecar_injector.sidecarDropALLCapabilities': 'true' // the restricted Pod Security standard asks for it
    }
  }
}

#disable-next-line use-recent-api-versions // no stable version has categories of this kind
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

@description('What federated credentials trust.')
output issuer string = cluster.properties.oidcIssuerProfile.issuerURL

@description('Client id of the Key Vault add-on, for the manifests that use it.')
output keyVaultAddonClientId string = cluster.properties.addonProfiles.azureKeyvaultSecretsProvider.identity.clientId
