metadata name = 'Dapr on Azure'
metadata description = 'The whole suite on Container Apps or on AKS: one resource group, and nothing in it is reached with a key.'

import { Aks } from 'modules/aks.bicep'
import { Capacity } from 'modules/cosmos.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { aksFaults, containerAppsFaults } from 'validate.bicep'

targetScope = 'subscription'

@description('Required. Name of this installation; its resource group and most resources have it in their names.')
@minLength(2)
@maxLength(20)
param name string

@description('Optional. Region of everything.')
param location string = deployment().location

@description('Required. Where the services run, and all that is special there.')
param hosting Hosting

@description('Optional. What /groupz lists: the resource groups of the subscription, or only the one made here.')
param listed 'resourceGroup' | 'subscription' = 'resourceGroup'

@description('Optional. How Cosmos DB is paid for.')
param cosmosCapacity Capacity = { mode: 'serverless' }

@description('Required. Value of the secret demosecret in Key Vault.')
@secure()
@minLength(1)
param demoSecret string

@discriminator('on')
type Hosting = Aks | ContainerApps

var token = uniqueString(subscription().id, name, location)
var workspaceName = 'log-${name}'
var insightsName = 'appi-${name}'
var registryName = 'cr${token}'
var accountName = 'cosmos-${token}'
var vaultName = 'kv-${token}'
var identityNames = { stateApi: 'id-state-api', groupLister: 'id-group-lister', welcome: 'id-welcome' }
var clusterIdentityName = 'id-cluster'
var kubeletIdentityName = 'id-kubelet'
var clusterName = 'aks-${name}'

var faults = hosting.on == 'aks' ? aksFaults(hosting, location) : containerAppsFaults(hosting)

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  // Everything needs the group, so a fault is refused before anything is made.
  name: empty(faults) ? 'rg-${name}' : fail(join(faults, ' '))
  location: location
  tags: { 'azd-env-name': name }
}

module logs 'modules/logs.bicep' = {
  scope: group
  params: { workspaceName: workspaceName, insightsName: insightsName, location: location }
}

module stateApiIdentity 'modules/identity.bicep' = {
  scope: group
  params: { name: identityNames.stateApi, location: location }
}

module groupListerIdentity 'modules/identity.bicep' = {
  scope: group
  params: { name: identityNames.groupLister, location: location }
}

module welcomeIdentity 'modules/identity.bicep' = {
  scope: group
  params: { name: identityNames.welcome, location: location }
}

module clusterIdentity 'modules/identity.bicep' = if (hosting.on == 'aks') {
  scope: group
  params: { name: clusterIdentityName, location: location }
}

module kubeletIdentity 'modules/identity.bicep' = if (hosting.on == 'aks') {
  scope: group
  params: { name: kubeletIdentityName, location: location }
}

module registry 'modules/registry.bicep' = {
  scope: group
  params: {
    name: registryName
    location: location
    pullers: hosting.on == 'aks'
      ? [kubeletIdentityName]
      : [identityNames.stateApi, identityNames.groupLister, identityNames.welcome]
  }
  dependsOn: [stateApiIdentity, groupListerIdentity, welcomeIdentity, kubeletIdentity]
}

module cosmos 'modules/cosmos.bicep' = {
  scope: group
  params: {
    name: accountName
    location: location
    capacity: cosmosCapacity
    identityName: hosting.?stateStore == 'key' ? null : identityNames.stateApi
  }
  dependsOn: [stateApiIdentity]
}

module vault 'modules/key-vault.bicep' = {
  scope: group
  params: { name: vaultName, location: location, demoSecret: demoSecret, identityName: identityNames.welcome }
  dependsOn: [welcomeIdentity]
}

module readerOfGroup 'modules/reader-of-group.bicep' = if (listed == 'resourceGroup') {
  scope: group
  params: { identityName: identityNames.groupLister }
  dependsOn: [groupListerIdentity]
}

module readerOfSubscription 'modules/reader-of-subscription.bicep' = if (listed == 'subscription') {
  params: {
    // It outlives the group, and the next installation's identity has another id, so the name goes by that.
    #disable-next-line what-if-short-circuiting
    principalId: groupListerIdentity.outputs.principalId
  }
}

module containerApps 'modules/container-apps.bicep' = if (hosting.on == 'containerapps') {
  scope: group
  params: {
    name: name
    location: location
    hosting: hosting
    workspaceName: workspaceName
    insightsName: insightsName
    registryName: registryName
    accountName: accountName
    identityNames: identityNames
  }
  dependsOn: [logs, registry, cosmos, readerOfGroup, readerOfSubscription]
}

module aks 'modules/aks.bicep' = if (hosting.on == 'aks') {
  scope: group
  params: {
    name: name
    location: location
    hosting: hosting
    clusterName: clusterName
    workspaceName: workspaceName
    identityNames: identityNames
    clusterIdentityName: clusterIdentityName
    kubeletIdentityName: kubeletIdentityName
  }
  dependsOn: [
    logs
    registry
    stateApiIdentity
    groupListerIdentity
    welcomeIdentity
    clusterIdentity
    kubeletIdentity
  ]
}

@description('Tenant of everything.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('Subscription of everything; group-lister lists its resource groups.')
output AZURE_SUBSCRIPTION_ID string = subscription().subscriptionId

@description('Resource group of everything.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Registry to push images to.')
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.server

@description('Cosmos DB, as components/cosmos and infra/kubernetes call it.')
output COSMOS_URL string = cosmos.outputs.url

@description('Vault of demosecret.')
output AZURE_KEY_VAULT_NAME string = vaultName

@description('AZURE_CLIENT_ID of state-api.')
output STATE_API_CLIENT_ID string = stateApiIdentity.outputs.clientId

@description('AZURE_CLIENT_ID of group-lister.')
output GROUP_LISTER_CLIENT_ID string = groupListerIdentity.outputs.clientId

@description('AZURE_CLIENT_ID of welcome.')
output WELCOME_CLIENT_ID string = welcomeIdentity.outputs.clientId

@description('Where welcome answers on Container Apps, once it is deployed.')
output WELCOME_URL string = containerApps.?outputs.welcomeUrl ?? ''

@description('The cluster on AKS.')
output AZURE_AKS_CLUSTER_NAME string = hosting.on == 'aks' ? clusterName : ''

@description('Client id of the Key Vault add-on on AKS.')
output KEY_VAULT_ADDON_CLIENT_ID string = aks.?outputs.keyVaultAddonClientId ?? ''
