metadata name = 'Dapr on Azure'
metadata description = 'Deploys the suite to Container Apps or AKS, into one resource group, with managed identities instead of keys.'

import { Aks } from 'modules/aks.bicep'
import { Capacity } from 'modules/cosmos.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { aksErrors, containerAppsErrors } from 'validate.bicep'

targetScope = 'subscription'

@discriminator('on')
type Hosting = Aks | ContainerApps

@description('Required. Name of the deployment: 2 to 20 characters. The resource group is rg-NAME; most other resource names contain it.')
@minLength(2)
@maxLength(20)
param name string

@description('Optional. Azure region of all resources, such as westeurope. Defaults to the region of the deployment.')
param location string = deployment().location

@description('Required. Platform that runs the services, and its settings.')
param hosting Hosting

@description('Optional. Resource groups that group-lister can list: all in the subscription, or only the one that this template creates.')
param listed 'resourceGroup' | 'subscription' = 'resourceGroup'

@description('Optional. Billing mode and throughput of Cosmos DB.')
param cosmosCapacity Capacity = { mode: 'serverless' }

@description('Required. Value of the Key Vault secret demosecret; at least one character.')
@secure()
@minLength(1)
param demoSecret string

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

var errors = hosting.on == 'aks' ? aksErrors(hosting, location) : containerAppsErrors(hosting)

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  // Every other resource needs the group, so an invalid parameter stops the deployment before it creates anything.
  name: empty(errors) ? 'rg-${name}' : fail(join(errors, ' '))
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
    // This assignment outlives the resource group. The next deployment creates an identity with a new principal id, so
    // the assignment's name is derived from the principal id.
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
output AZURE_KEY_VAULT_NAME string = vaultName

@description('Client id of the identity of state-api.')
output STATE_API_CLIENT_ID string = stateApiIdentity.outputs.clientId

@description('Client id of the identity of group-lister.')
output GROUP_LISTER_CLIENT_ID string = groupListerIdentity.outputs.clientId

@description('Client id of the identity of welcome.')
output WELCOME_CLIENT_ID string = welcomeIdentity.outputs.clientId

@description('URL of welcome on Container Apps; empty until the apps are deployed, and on AKS.')
output WELCOME_URL string = containerApps.?outputs.welcomeUrl ?? ''

@description('Name of the AKS cluster; empty on Container Apps.')
output AZURE_AKS_CLUSTER_NAME string = hosting.on == 'aks' ? clusterName : ''

@description('Client id of the Key Vault add-on on AKS; empty on Container Apps.')
output KEY_VAULT_ADDON_CLIENT_ID string = aks.?outputs.keyVaultAddonClientId ?? ''
