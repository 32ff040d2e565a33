metadata name = 'The suite on Container Apps'
metadata description = 'Container Apps environment, Dapr state store and the three apps.'

import { ServiceIdentities } from 'identity.bicep'
import { Access, Release, Scale, SignIn, Variable } from 'container-app.bicep'

@export()
@sealed()
type ContainerApps = {
  @description('Required. Selects Azure Container Apps.')
  on: 'containerapps'

  @description('Required. Credential of the sidecar of state-api for Cosmos DB. identity: the managed identity of the app. key: the account key.')
  stateStore: 'identity' | 'key'

  @description('Required. Callers outside the environment that can reach state-api and group-lister directly. welcome is public.')
  access: Access

  @description('Required. Number of replicas of each app, and the load that adds one.')
  scale: Scale

  @description('Optional. Virtual network to create for the environment. Without it Azure provides the network.')
  network: Network?

  @description('Optional. Requires callers of welcome to sign in with Microsoft Entra ID.')
  signIn: SignIn?

  @description('Optional. Images and revisions to deploy. Without it the template creates everything except the apps, including the registry for their images.')
  apps: Apps?
}

@sealed()
type Network = {
  @description('Required. Address range in CIDR notation, /26 or larger. The environment uses the first half.')
  prefix: string

  @description('Required. true: only callers in this network can reach the apps, regardless of access. false: access decides.')
  private: bool
}

@sealed()
type Apps = {
  @description('Required. Release of state-api.')
  stateApi: Release

  @description('Required. Release of group-lister.')
  groupLister: Release

  @description('Required. Release of welcome.')
  welcome: Release
}

@description('Required. Name of the deployment.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Container Apps settings of the deployment.')
param hosting ContainerApps

@description('Required. Name of the Log Analytics workspace, in this resource group.')
param workspaceName string

@description('Required. Name of the Application Insights resource, in this resource group.')
param insightsName string

@description('Required. Name of the container registry of the images, in this resource group.')
param registryName string

@description('Required. Name of the Cosmos DB account, in this resource group.')
param accountName string

@description('Required. Names of the managed identities of the services, in this resource group.')
param identityNames ServiceIdentities

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
    #disable-next-line what-if-short-circuiting // Azure chooses the domain
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
  dependsOn: [stateStore] // a sidecar loads components only when it starts
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

func greeting(release Release) Variable[] =>
  release.?welcome == null ? [] : [{ name: 'WELCOME', value: release.welcome! }]

@description('URL of welcome; empty until the apps are deployed.')
output welcomeUrl string = welcome.?outputs.url ?? ''
