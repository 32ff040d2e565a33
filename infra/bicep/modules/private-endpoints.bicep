metadata name = 'Private endpoints'
metadata description = 'Private endpoints of the registry, the vault and Cosmos DB.'

import { Tags } from 'tags.bicep'

@export()
@sealed()
type PrivateEndpoints = {
  @description('Optional. Resource id of an existing subnet for the endpoints. Required if hosting names an existing network; otherwise the template creates a subnet.')
  subnetId: string?

  @description('Optional. Existing private DNS zones, which the network of the services resolves. Without them, the template creates and links zones.')
  zones: EndpointZones?
}

@export()
@sealed()
type EndpointZones = {
  @description('Required. Resource id of the zone privatelink.azurecr.io.')
  registry: string

  @description('Required. Resource id of the zone privatelink.vaultcore.azure.net.')
  vault: string

  @description('Required. Resource id of the zone privatelink.documents.azure.com.')
  cosmos: string
}

@description('Required. Azure region of the virtual network, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Resource id of the subnet of the endpoints.')
param subnetId string

@description('Required. Resource id of the virtual network of the services.')
param networkId string

@description('Optional. Existing private DNS zones. Without them, this module creates the zones.')
param zones EndpointZones?

@description('Required. Name of the container registry, in this resource group.')
param registryName string

@description('Required. Name of the vault, in this resource group.')
param vaultName string

@description('Required. Name of the Cosmos DB account, in this resource group.')
param accountName string

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2026-03-15' existing = {
  name: accountName
}

// One after the other: each endpoint updates the subnet, and another endpoint that is created meanwhile fails with
// ReferencedResourceNotProvisioned. https://github.com/Azure/bicep-ptn-aiml-landing-zone/issues/41
// Names of the zones: https://learn.microsoft.com/azure/private-link/private-endpoint-dns
module registryEndpoint 'private-endpoint.bicep' = {
  params: {
    name: 'pep-registry'
    location: location
    tags: tags
    serviceId: registry.id
    part: 'registry'
    subnetId: subnetId
    networkId: networkId
    zoneId: zones.?registry
    zoneName: 'privatelink${environment().suffixes.acrLoginServer}'
  }
}

module vaultEndpoint 'private-endpoint.bicep' = {
  params: {
    name: 'pep-vault'
    location: location
    tags: tags
    serviceId: vault.id
    part: 'vault'
    subnetId: subnetId
    networkId: networkId
    zoneId: zones.?vault
    zoneName: 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
  }
  dependsOn: [registryEndpoint]
}

module accountEndpoint 'private-endpoint.bicep' = {
  params: {
    name: 'pep-cosmos'
    location: location
    tags: tags
    serviceId: account.id
    part: 'Sql'
    subnetId: subnetId
    networkId: networkId
    zoneId: zones.?cosmos
    zoneName: 'privatelink.documents.azure.com' // of Azure's public cloud; no function returns the suffix of Cosmos DB
  }
  dependsOn: [vaultEndpoint]
}
