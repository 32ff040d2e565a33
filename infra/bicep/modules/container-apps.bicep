metadata name = 'The suite on Container Apps'
metadata description = 'Environment, state store and the three apps.'

import { ServiceIdentities } from 'identity.bicep'
import { Access, Release, Scale, SignIn } from 'container-app.bicep'

@description('Required. Name of the installation.')
param name string

@description('Required. Where it is.')
param location string

@description('Required. What was chosen.')
param hosting ContainerApps

@description('Required. Log Analytics workspace, in this resource group.')
param workspaceName string

@description('Required. Application Insights, in this resource group.')
param insightsName string

@description('Required. Registry of the images, in this resource group.')
param registryName string

@description('Required. Cosmos DB account, in this resource group.')
param accountName string

@description('Required. Identities of the services, in this resource group.')
param identityNames ServiceIdentities

@export()
@sealed()
type ContainerApps = {
  @description('Required. Azure Container Apps.')
  on: 'containerapps'

  @description('Required. How the sidecar of state-api signs in to Cosmos DB: as the app, or with the account\'s key.')
  stateStore: 'identity' | 'key'

  @description('Required. Who may call state-api and group-lister from outside; others ask welcome for both.')
  access: Access

  @description('Required. How many replicas each app has.')
  scale: Scale

  @description('Optional. The network of its own that the environment is in. Without it Azure\'s.')
  network: Network?

  @description('Optional. Callers of welcome sign in with Entra ID.')
  signIn: SignIn?

  @description('Optional. What is deployed. Without it all is made but the apps: the registry, for one, to push their images to.')
  apps: Apps?
}

@sealed()
type Network = {
  @description('Required. Addresses of the virtual network, at least a /26; the environment takes the first half.')
  prefix: string

  @description('Required. Whether only this network reaches the apps, whatever access says.')
  private: bool
}

@sealed()
type Apps = {
  @description('Required. state-api.')
  stateApi: Release

  @description('Required. group-lister.')
  groupLister: Release

  @description('Required. welcome.')
  welcome: Release
}

var environmentName = 'cae-${name}'
var networkName = 'vnet-${name}'

resource groupListerIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityNames.groupLister
}

module network 'container-apps-network.bicep' = if (hosting.?network != null) {
  params: { name: networkName, location: location, prefix: hosting.network!.prefix }
}

module environment 'container-apps-environment.bicep' = {
  params: {
    name: environmentName
    location: location
    workspaceName: workspaceName
    insightsName: insightsName
    subnetId: hosting.?network == null
      ? null
      : resourceId('Microsoft.Network/virtualNetworks/subnets', networkName, 'environment')
    private: hosting.?network.?private ?? false
  }
  dependsOn: [network]
}

module dns 'container-apps-dns.bicep' = if (hosting.?network.?private ?? false) {
  params: {
    #disable-next-line what-if-short-circuiting // Azure makes it up
    domain: environment.outputs.domain
    address: environment.outputs.address
    networkName: networkName
  }
}

module stateStore 'state-store.bicep' = {
  params: {
    environmentName: environmentName
    accountName: accountName
    identityName: hosting.stateStore == 'identity' ? identityNames.stateApi : null
  }
  dependsOn: [environment]
}

module stateApi 'container-app.bicep' = if (hosting.?apps != null) {
  params: {
    name: 'state-api'
    location: location
    environmentName: environmentName
    identityName: identityNames.stateApi
    registryName: registryName
    release: hosting.apps!.stateApi
    variables: concat([{ name: 'STATESTORE_NAME', value: 'statestore' }], greeting(hosting.apps!.stateApi))
    access: hosting.access
    scale: hosting.scale
  }
  dependsOn: [stateStore] // a sidecar loads what is there when it starts
}

module groupLister 'container-app.bicep' = if (hosting.?apps != null) {
  params: {
    name: 'group-lister'
    location: location
    environmentName: environmentName
    identityName: identityNames.groupLister
    registryName: registryName
    release: hosting.apps!.groupLister
    variables: [
      { name: 'AZURE_CLIENT_ID', value: groupListerIdentity.properties.clientId }
      { name: 'AZURE_SUBSCRIPTION_ID', value: subscription().subscriptionId }
    ]
    access: hosting.access
    scale: hosting.scale
  }
  dependsOn: [environment]
}

module welcome 'container-app.bicep' = if (hosting.?apps != null) {
  params: {
    name: 'welcome'
    location: location
    environmentName: environmentName
    identityName: identityNames.welcome
    registryName: registryName
    release: hosting.apps!.welcome
    variables: greeting(hosting.apps!.welcome)
    access: { who: 'anyone' }
    scale: hosting.scale
    signIn: hosting.?signIn
  }
  dependsOn: [environment]
}

func greeting(release Release) { name: string, value: string }[] =>
  release.?welcome == null ? [] : [{ name: 'WELCOME', value: release.welcome! }]

@description('Where welcome answers, once it is deployed.')
output welcomeUrl string = welcome.?outputs.url ?? ''
