metadata name = 'Container Apps'
metadata description = 'Container Apps environment with its network and the Dapr state store. The apps are in ../apps.'

import { Tags } from 'tags.bicep'

@export()
@sealed()
type ContainerApps = {
  @description('Required. Selects Azure Container Apps.')
  on: 'containerapps'

  @description('Required. Credential of the sidecar of state-api for Cosmos DB. identity: the managed identity of the app. key: the account key.')
  stateStore: 'identity' | 'key'

  @description('Optional. Virtual network to create for the environment. Without it Azure provides the network.')
  network: Network?
}

@sealed()
type Network = {
  @description('Required. Address range in CIDR notation, /26 or larger. The environment uses the first half.')
  prefix: string

  @description('Required. true: only callers in this network can reach the apps, regardless of the access of an app. false: that access decides.')
  private: bool
}

@description('Required. Name of the deployment.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Container Apps settings of the deployment.')
param hosting ContainerApps

@description('Required. Name of the Log Analytics workspace, in this resource group.')
param workspaceName string

@description('Required. Name of the Application Insights resource, in this resource group.')
param insightsName string

@description('Required. Name of the Cosmos DB account, in this resource group.')
param accountName string

@description('Required. Name of the managed identity of state-api, in this resource group.')
param identityName string

@description('Required. Spreads the environment over the availability zones of the region.')
param zoneRedundant bool

var environmentName = 'cae-${name}'
var networkName = 'vnet-${name}'

module network 'container-apps-network.bicep' = if (hosting.?network != null) {
  params: { name: networkName, location: location, tags: tags, prefix: hosting.network!.prefix }
}

module environment 'container-apps-environment.bicep' = {
  params: {
    name: environmentName
    location: location
    tags: tags
    workspaceName: workspaceName
    insightsName: insightsName
    subnetId: hosting.?network == null
      ? null
      : resourceId('Microsoft.Network/virtualNetworks/subnets', networkName, 'environment')
    zoneRedundant: zoneRedundant
    private: hosting.?network.?private ?? false
  }
  dependsOn: [network]
}

module dns 'container-apps-dns.bicep' = if (hosting.?network.?private ?? false) {
  params: {
    domain: environment.outputs.domain
    address: environment.outputs.address
    tags: tags
    networkName: networkName
  }
}

module stateStore 'state-store.bicep' = {
  params: {
    environmentName: environmentName
    accountName: accountName
    identityName: hosting.stateStore == 'identity' ? identityName : null
  }
  dependsOn: [environment]
}
