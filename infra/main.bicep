metadata name = 'Dapr on Azure'
metadata description = 'The whole suite on Container Apps or on AKS: one resource group, and nothing in it is reached with a key.'

import { Capacity } from 'modules/cosmos.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { containerAppsFaults } from 'faults.bicep'

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

type Hosting = ContainerApps

var token = uniqueString(subscription().id, name, location)
var workspaceName = 'log-${name}'
var insightsName = 'appi-${name}'
var registryName = 'cr${token}'
var accountName = 'cosmos-${token}'
var vaultName = 'kv-${token}'
var identityNames = { stateApi: 'id-state-api', groupLister: 'id-group-lister', welcome: 'id-welcome' }

var faults = hosting.on == 'containerapps' ? containerAppsFaults(hosting) : []

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

module identities 'modules/identities.bicep' = {
  scope: group
  params: { names: identityNames, location: location }
}

module registry 'modules/registry.bicep' = {
  scope: group
  params: {
    name: registryName
    location: location
    pullers: [identityNames.stateApi, identityNames.groupLister, identityNames.welcome]
  }
  dependsOn: [identities]
}

module cosmos 'modules/cosmos.bicep' = {
  scope: group
  params: {
    name: accountName
    location: location
    capacity: cosmosCapacity
    identityName: hosting.?stateStore == 'key' ? null : identityNames.stateApi
  }
  dependsOn: [identities]
}

module vault 'modules/key-vault.bicep' = {
  scope: group
  params: { name: vaultName, location: location, demoSecret: demoSecret, identityName: identityNames.welcome }
  dependsOn: [identities]
}

module readerOfGroup 'modules/reader-of-group.bicep' = if (listed == 'resourceGroup') {
  scope: group
  params: { identityName: identityNames.groupLister }
  dependsOn: [identities]
}

module readerOfSubscription 'modules/reader-of-subscription.bicep' = if (listed == 'subscription') {
  params: { identityName: identityNames.groupLister, identityGroupName: group.name }
  dependsOn: [identities]
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

@description('Subscription whose resource groups group-lister lists.')
output AZURE_SUBSCRIPTION_ID string = subscription().subscriptionId

@description('Resource group of everything.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Registry that azd and docker push to.')
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.server

@description('What components/cosmos calls COSMOS_URL.')
output COSMOS_URL string = cosmos.outputs.url

@description('Vault of demosecret.')
output AZURE_KEY_VAULT_NAME string = vaultName

@description('Where welcome answers on Container Apps, once it is deployed.')
output WELCOME_URL string = containerApps.?outputs.welcomeUrl ?? ''
