metadata name = 'Container Apps'
metadata description = 'Container Apps environment with its DNS records and the Dapr state store. The apps are in ../apps.'

import { Tags } from 'tags.bicep'

@export()
@sealed()
type ContainerApps = {
  @description('Required. Selects Azure Container Apps.')
  on: 'containerapps'

  @description('Required. Credential of the sidecar of state-api for Cosmos DB. identity: the managed identity of the app. key: the account key.')
  stateStore: 'identity' | 'key'

  @description('Optional. Virtual network of the environment; Azure cannot change it later. Without it Azure provides the network.')
  network: Network?
}

@discriminator('source')
type Network = CreatedNetwork | ExistingNetwork

@sealed()
type CreatedNetwork = {
  @description('Required. Creates a virtual network.')
  source: 'created'

  @description('Required. Address range in CIDR notation, /26 or larger. The environment uses the first half.')
  prefix: string

  @description('Optional. Only callers in the network can reach the apps, regardless of the access of an app. Without it that access decides.')
  private: PrivateDns?
}

@sealed()
type ExistingNetwork = {
  @description('Required. Uses a subnet that exists.')
  source: 'existing'

  @description('Required. Resource id of the subnet, in any resource group or subscription. The subnet is in the region of the environment, delegated to Microsoft.App/environments, a /27 or larger, and used by nothing else. You need the permission Microsoft.Network/virtualNetworks/subnets/join/action on it; the managed identities need no role.')
  subnetId: string

  @description('Optional. Only callers in the network can reach the apps, regardless of the access of an app. Without it that access decides.')
  private: PrivateDns?
}

@discriminator('dns')
type PrivateDns = CreatedZone | ExistingZone | NoZone

@sealed()
type CreatedZone = {
  @description('Required. Creates a private DNS zone for the apps and links it to the network.')
  dns: 'created'
}

@sealed()
type ExistingZone = {
  @description('Required. Adds a record for the apps to a private DNS zone that exists.')
  dns: 'existing'

  @description('Required. Resource id of the zone, in any resource group or subscription. Azure chooses the domain of the environment, UNIQUE.REGION.azurecontainerapps.io, so the zone is usually REGION.azurecontainerapps.io. The networks that it is linked to cannot resolve apps of other environments in the region.')
  zoneId: string

  @description('Required. create: link the zone to the network of the environment. exists: the callers can resolve the zone already. A network can have one link to a zone.')
  link: 'create' | 'exists'
}

@sealed()
type NoZone = {
  @description('Required. You add the record *.DOMAIN yourself: az containerapp env show --query "properties.[defaultDomain, staticIp]" shows the domain and the address.')
  dns: 'none'
}

@description('Required. Name of the deployment.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Container Apps settings of the deployment.')
param hosting ContainerApps

@description('Optional. Resource id of the subnet of the environment. Required if hosting has a network.')
param subnetId string?

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

@description('Returns the name of the record that resolves every name in a domain, relative to a zone.')
func recordFor(domain string, zone string) string =>
  domain == zone
    ? '*'
    : endsWith(domain, '.${zone}')
        ? '*.${take(domain, length(domain) - length(zone) - 1)}'
        : fail('The domain of the environment, ${domain}, is not in the zone ${zone}. Set network.private.zoneId to a zone that contains it.')

var environmentName = 'cae-${name}'

var networkId = join(take(split(subnetId ?? '', '/'), 9), '/')
var dns = hosting.?network.?private.?dns ?? 'none'
var zoneId = split(hosting.?network.?private.?zoneId ?? '', '/')

module environment 'container-apps-environment.bicep' = {
  params: {
    name: environmentName
    location: location
    tags: tags
    workspaceName: workspaceName
    insightsName: insightsName
    subnetId: subnetId
    zoneRedundant: zoneRedundant
    private: hosting.?network.?private != null
  }
}

module createdZone 'private-dns-zone.bicep' = if (dns == 'created') {
  params: { name: environment.outputs.domain, tags: tags }
}

module createdZoneRecords 'container-apps-dns.bicep' = if (dns == 'created') {
  params: {
    zoneName: environment.outputs.domain
    record: '*'
    address: environment.outputs.address
    tags: tags
    networkId: networkId
  }
  dependsOn: [createdZone]
}

module existingZoneRecords 'container-apps-dns.bicep' = if (dns == 'existing') {
  scope: resourceGroup(zoneId[?2] ?? 'none', zoneId[?4] ?? 'none')
  params: {
    zoneName: zoneId[?8] ?? 'none'
    record: recordFor(environment.outputs.domain, zoneId[?8] ?? 'none')
    address: environment.outputs.address
    tags: tags
    networkId: hosting.?network.?private.?link == 'create' ? networkId : null
  }
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2026-03-15' existing = {
  name: accountName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

module stateStore 'state-store.bicep' = {
  params: {
    environmentName: environmentName
    url: account.properties.documentEndpoint
    credential: hosting.stateStore
    clientId: identity.properties.clientId
    accountKey: hosting.stateStore == 'key' ? account.listKeys().primaryMasterKey : null
  }
  dependsOn: [environment]
}
