metadata name = 'Dapr on Azure'
metadata description = 'Creates everything that the services need on Container Apps or AKS, in one resource group, with managed identities instead of keys. apps/ deploys the services to Container Apps; infra/kubernetes deploys them to AKS.'

import { Aks } from 'modules/aks.bicep'
import { Capacity } from 'modules/cosmos.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { Principal } from 'modules/principal.bicep'
import { PrivateEndpoints } from 'modules/private-endpoints.bicep'
import { Tags } from 'modules/tags.bicep'
import { aksErrors, containerAppsErrors, optionErrors, policyErrors } from 'validate.bicep'

targetScope = 'subscription'

@discriminator('on')
type Hosting = Aks | ContainerApps

@description('Required. Name of the deployment: 2 to 20 of a to z, 0 to 9 and hyphens, with no hyphen at the beginning or the end. The resource group is rg-NAME; most other resource names contain it.')
@minLength(2)
@maxLength(20)
param name string

@description('Optional. Azure region of all resources, such as westeurope. Defaults to the region of the deployment.')
param location string = deployment().location

@description('Optional. Tags of every resource.')
param tags Tags = {}

@description('Required. Platform that runs the services, and its settings.')
param hosting Hosting

@description('Optional. Resource groups that group-lister can list: all in the subscription, or only the one that this template creates.')
param listed 'resourceGroup' | 'subscription' = 'resourceGroup'

@description('Optional. Billing mode and throughput of Cosmos DB.')
param cosmosCapacity Capacity = { mode: 'serverless' }

@description('Optional. Sends the audit logs of the registry, the vault and Cosmos DB to the Log Analytics workspace, which bills them by size: a few MB a day. Requests to the store are not among them.')
param diagnostics bool = true

@description('Optional. Private endpoints of the registry, the vault and Cosmos DB, which then have no public access. Without it, the registry is public, and needs a role for each call.')
param privateEndpoints PrivateEndpoints?

@description('Optional. Public IPv4 addresses such as 203.0.113.7, or ranges in CIDR notation, that also reach Cosmos DB and, on AKS, the vault, where their firewalls admit only the network that this template creates. Without effect in an existing network, without a network and with private endpoints.')
param clientAddresses string[] = []

@description('Optional. Spreads Cosmos DB and the Container Apps environment over the availability zones of the region, which must have zones. Registry and vault are always spread; the nodes of AKS have zones of their own in hosting.')
param zoneRedundant bool = false

@description('Optional. Prevents the deletion of the resource group and its resources until you delete the lock no-delete.')
param lock bool = false

@description('Required. Value of the Key Vault secret demosecret; at least one character.')
@secure()
@minLength(1)
param demoSecret string

@description('Optional. User, group or service principal that can set, read and delete the secrets of the vault with az or in the portal. Without it, only a deployment can set demosecret: also the Owner of the subscription gets 403.')
param vaultOfficer Principal?

var token = uniqueString(subscription().id, name, location)
// A deleted workspace keeps its name for 14 days, and Azure rejects a workspace of that name in another region:
// https://github.com/Azure/azure-cli/issues/11916. So the name depends on the region.
var workspaceName = 'log-${token}'
var auditWorkspaceName = diagnostics ? workspaceName : null
var publicNetworkAccess = privateEndpoints == null ? 'Enabled' : 'Disabled'
var insightsName = 'appi-${name}'
var registryName = 'cr${token}'
var accountName = 'cosmos-${token}'
var identityNames = { stateApi: 'id-state-api', groupLister: 'id-group-lister', welcome: 'id-welcome' }
var pullIdentityName = 'id-pull' // pulls the images of all apps: modules/container-app.bicep
var clusterIdentityName = 'id-cluster'
var clusterName = 'aks-${name}'
var clusterNetworkName = 'vnet-${name}'

// The subnet of the nodes and the private DNS zone of the API server exist, or this template creates them.
var subnetId = hosting.?network.?subnetId ?? resourceId(
  subscription().subscriptionId,
  'rg-${name}',
  'Microsoft.Network/virtualNetworks/subnets',
  clusterNetworkName,
  'nodes'
)
var zoneId = hosting.?apiServer.?zoneId ?? resourceId(
  subscription().subscriptionId,
  'rg-${name}',
  'Microsoft.Network/privateDnsZones',
  hosting.?apiServer.?zone ?? 'none'
)
var hasZone = contains(['custom', 'existing'], hosting.?apiServer.dns ?? '')

@description('Returns a part of a resource id: 2 is the subscription, 4 the resource group, 8 the name.')
func segment(id string, index int) string => split(id, '/')[?index] ?? 'invalid' // reported by validate.bicep

var appsSubnetId = hosting.?network.?source == 'created'
  ? resourceId(
      subscription().subscriptionId,
      'rg-${name}',
      'Microsoft.Network/virtualNetworks/subnets',
      'vnet-${name}',
      'environment'
    )
  : hosting.?network.?subnetId

// The network of the services.
var network = hosting.?network.?subnetId != null
  ? 'existing'
  : hosting.on == 'aks' || hosting.?network != null ? 'created' : 'none'
var networkId = join(take(split(subnetId, '/'), 9), '/')

// Service endpoints are free, but belong to the subnet, so an existing network keeps the ones that it has. Container Apps
// without a network have no fixed addresses to admit.
var firewall = network == 'created' && privateEndpoints == null
  ? { subnetId: hosting.on == 'aks' ? subnetId : appsSubnetId!, addresses: clientAddresses }
  : null

var errors = concat(
  hosting.on == 'aks' ? concat(aksErrors(hosting, location), policyErrors(hosting)) : containerAppsErrors(hosting),
  optionErrors(name, tags, zoneRedundant, privateEndpoints, network, clientAddresses)
)

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  // Every other resource needs the group, so an invalid parameter stops the deployment before it creates anything.
  name: empty(errors) ? 'rg-${name}' : fail(join(errors, ' '))
  location: location
  tags: union(tags, { 'azd-env-name': name }) // azd finds the group by this tag
}

module logs 'modules/logs.bicep' = {
  scope: group
  params: {
    workspaceName: workspaceName
    insightsName: hosting.on == 'containerapps' ? insightsName : null // on AKS nothing sends data to it
    location: location
    tags: tags
  }
}

// `azd monitor` fails without a dashboard.
module dashboard 'modules/dashboard.bicep' = {
  scope: group
  params: {
    name: 'dash-${name}'
    location: location
    tags: tags
    resourceId: hosting.on == 'aks'
      ? resourceId(
          subscription().subscriptionId,
          'rg-${name}',
          'Microsoft.ContainerService/managedClusters',
          clusterName
        )
      : resourceId(subscription().subscriptionId, 'rg-${name}', 'Microsoft.Insights/components', insightsName)
    charts: hosting.on == 'aks'
      ? [
          { title: 'CPU of the nodes (%)', metric: 'node_cpu_usage_percentage', aggregation: 'average' }
          { title: 'Memory of the nodes (%)', metric: 'node_memory_working_set_percentage', aggregation: 'average' }
        ]
      : [
          { title: 'Requests', metric: 'requests/count', aggregation: 'count' }
          { title: 'Failed requests', metric: 'requests/failed', aggregation: 'count' }
          { title: 'Duration of requests (ms)', metric: 'requests/duration', aggregation: 'average' }
        ]
  }
}

module stateApiIdentity 'modules/identity.bicep' = {
  scope: group
  params: { name: identityNames.stateApi, location: location, tags: tags }
}

module groupListerIdentity 'modules/identity.bicep' = {
  scope: group
  params: { name: identityNames.groupLister, location: location, tags: tags }
}

module welcomeIdentity 'modules/identity.bicep' = {
  scope: group
  params: { name: identityNames.welcome, location: location, tags: tags }
}

module pullIdentity 'modules/identity.bicep' = if (hosting.on == 'containerapps') {
  scope: group
  params: { name: pullIdentityName, location: location, tags: tags }
}

module clusterIdentity 'modules/identity.bicep' = if (hosting.on == 'aks') {
  scope: group
  params: { name: clusterIdentityName, location: location, tags: tags }
}

module registry 'modules/registry.bicep' = {
  scope: group
  params: {
    name: registryName
    location: location
    tags: tags
    publicNetworkAccess: publicNetworkAccess
    workspaceName: auditWorkspaceName
  }
  dependsOn: [logs]
}

module puller 'modules/registry-puller.bicep' = if (hosting.on == 'containerapps') {
  scope: group
  params: { registryName: registryName, principalId: pullIdentity.?outputs.principalId ?? '' }
  dependsOn: [registry]
}

module cosmos 'modules/cosmos.bicep' = {
  scope: group
  params: {
    name: accountName
    location: location
    tags: tags
    capacity: cosmosCapacity
    credential: hosting.?stateStore ?? 'identity'
    principalId: stateApiIdentity.outputs.principalId
    publicNetworkAccess: publicNetworkAccess
    firewall: firewall
    zoneRedundant: zoneRedundant
    workspaceName: auditWorkspaceName
  }
  dependsOn: [logs, clusterNetwork, appsNetwork]
}

module vault 'modules/key-vault.bicep' = {
  scope: group
  params: {
    // Purge protection reserves the name of a deleted vault for days. An identity that is created again has a new
    // principal id, so a deployment after the resource group was deleted gets a vault with a new name.
    name: 'kv-${uniqueString(welcomeIdentity.outputs.principalId)}'
    location: location
    tags: tags
    demoSecret: demoSecret
    vaultOfficer: vaultOfficer
    principalId: welcomeIdentity.outputs.principalId
    publicNetworkAccess: publicNetworkAccess
    // Reports differ whether Container Apps reads secrets through a service endpoint: it works in
    // https://github.com/microsoft/azure-container-apps/issues/739, not in .../issues/1287. So only AKS has the firewall.
    firewall: hosting.on == 'aks' ? firewall : null
    workspaceName: auditWorkspaceName
  }
  dependsOn: [logs, clusterNetwork]
}

module readerOfGroup 'modules/reader-of-group.bicep' = if (listed == 'resourceGroup') {
  scope: group
  params: { principalId: groupListerIdentity.outputs.principalId }
}

// This assignment outlives the resource group.
module readerOfSubscription 'modules/reader-of-subscription.bicep' = if (listed == 'subscription') {
  params: { principalId: groupListerIdentity.outputs.principalId }
}

module appsNetwork 'modules/container-apps-network.bicep' = if (hosting.?network.?source == 'created') {
  scope: group
  params: {
    name: 'vnet-${name}'
    location: location
    tags: tags
    prefix: hosting.?network.?prefix ?? ''
    endpoints: privateEndpoints != null
  }
}

module containerApps 'modules/container-apps.bicep' = if (hosting.on == 'containerapps') {
  scope: group
  params: {
    name: name
    location: location
    tags: tags
    hosting: hosting
    workspaceName: workspaceName
    insightsName: insightsName
    accountName: accountName
    identityName: identityNames.stateApi
    zoneRedundant: zoneRedundant
    subnetId: appsSubnetId
  }
  dependsOn: [logs, cosmos, appsNetwork]
}

// A role in the Kubernetes API takes effect after up to five minutes, and azd calls that API as soon as the deployment
// ends. So the administrator has the role on the group, which exists minutes before the cluster.
// https://learn.microsoft.com/azure/aks/manage-azure-rbac
module clusterAdministrator 'modules/cluster-administrator.bicep' = if (hosting.?administrator != null) {
  scope: group
  params: { administrator: hosting.administrator! }
}

// Azure needs minutes until a role assignment takes effect, and AKS does not retry: it rejects a cluster whose identity
// lacks its roles (https://github.com/Azure/azure-service-operator/issues/3267). So the roles of the control plane wait
// for nothing but the identity and their scopes, and the cluster waits for Cosmos DB, which takes minutes.
module clusterNetwork 'modules/aks-network.bicep' = if (hosting.on == 'aks' && hosting.?network.?subnetId == null) {
  scope: group
  params: { name: clusterNetworkName, location: location, tags: tags, endpoints: privateEndpoints != null }
}

module clusterNetworkAccess 'modules/network-contributor.bicep' = if (hosting.on == 'aks') {
  scope: resourceGroup(segment(subnetId, 2), segment(subnetId, 4))
  params: {
    networkName: segment(subnetId, 8)
    // To link a private DNS zone, AKS needs the role on the virtual network; otherwise the subnet is enough.
    // https://learn.microsoft.com/azure/aks/private-clusters, https://learn.microsoft.com/azure/aks/concepts-network-cni-overview
    subnetName: contains(['public', 'none'], hosting.?apiServer.dns ?? '') ? segment(subnetId, 10) : null
    principalId: clusterIdentity.?outputs.principalId ?? ''
  }
  dependsOn: [clusterNetwork]
}

module clusterZone 'modules/private-dns-zone.bicep' = if (hosting.?apiServer.dns == 'custom') {
  scope: group
  params: { name: segment(zoneId, 8), tags: tags }
}

module clusterZoneAccess 'modules/private-dns-zone-access.bicep' = if (hasZone) {
  scope: resourceGroup(segment(zoneId, 2), segment(zoneId, 4))
  params: {
    zoneName: segment(zoneId, 8)
    tags: tags
    networkId: hosting.?apiServer.?link == 'exists' ? null : join(take(split(subnetId, '/'), 9), '/')
    principalId: clusterIdentity.?outputs.principalId ?? ''
  }
  dependsOn: [clusterNetwork, clusterZone]
}

module aks 'modules/aks.bicep' = if (hosting.on == 'aks') {
  scope: group
  params: {
    location: location
    tags: tags
    hosting: hosting
    clusterName: clusterName
    subnetId: subnetId
    zoneId: hasZone ? zoneId : null
    workspaceName: workspaceName
    identityNames: identityNames
    clusterIdentityName: clusterIdentityName
    registryName: registryName
  }
  dependsOn: [logs, registry, cosmos, clusterIdentity, clusterNetworkAccess, clusterZoneAccess]
}

// AKS creates this identity with the cluster.
module addonReader 'modules/secret-reader.bicep' = if (hosting.?keyVaultAddonIdentity ?? false) {
  scope: group
  params: { vaultName: vault.outputs.name, principalId: aks.?outputs.keyVaultAddonPrincipalId ?? '' }
}

// Cosmos DB adds an endpoint only while no other operation on the account runs. The cluster changes the network, too,
// which accepts one change at a time: https://github.com/hashicorp/terraform-provider-azurerm/issues/21293
module endpoints 'modules/private-endpoints.bicep' = if (privateEndpoints != null) {
  scope: group
  params: {
    location: location
    tags: tags
    subnetId: privateEndpoints.?subnetId ?? '${networkId}/subnets/endpoints'
    networkId: networkId
    zones: privateEndpoints.?zones
    registryName: registryName
    vaultName: vault.outputs.name
    accountName: accountName
  }
  dependsOn: [registry, cosmos, aks, containerApps]
}

module noDelete 'modules/lock.bicep' = if (lock) {
  scope: group
}

@description('Microsoft Entra tenant of the deployment.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('Subscription of the deployment; group-lister lists its resource groups.')
output AZURE_SUBSCRIPTION_ID string = subscription().subscriptionId

@description('Resource group that contains all resources.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Host name of the registry that the images are pushed to.')
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.server

@description('Endpoint of Cosmos DB; COSMOS_URL in components/cosmos and infra/kubernetes.')
output COSMOS_URL string = cosmos.outputs.url

@description('Name of the Key Vault that contains demosecret.')
output AZURE_KEY_VAULT_NAME string = vault.outputs.name

@description('Client id of the identity of state-api.')
output STATE_API_CLIENT_ID string = stateApiIdentity.outputs.clientId

@description('Client id of the identity of group-lister.')
output GROUP_LISTER_CLIENT_ID string = groupListerIdentity.outputs.clientId

@description('Client id of the identity of welcome.')
output WELCOME_CLIENT_ID string = welcomeIdentity.outputs.clientId

@description('Name of the AKS cluster; empty on Container Apps.')
output AZURE_AKS_CLUSTER_NAME string = hosting.on == 'aks' ? clusterName : ''

@description('Client id of the identity of the Key Vault add-on on AKS; empty on Container Apps. With hosting.keyVaultAddonIdentity, that identity can read demosecret.')
output KEY_VAULT_ADDON_CLIENT_ID string = aks.?outputs.keyVaultAddonClientId ?? ''
