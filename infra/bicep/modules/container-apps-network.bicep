metadata name = 'Virtual network of a Container Apps environment'
metadata description = 'A virtual network. The first half of its range is the subnet of the environment.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the virtual network.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Address range in CIDR notation, /26 or larger.')
param prefix string

@description('Optional. Adds a subnet for private endpoints, called endpoints: the third quarter of the range.')
param endpoints bool = false

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' = {
  name: name
  location: location
  tags: tags
  properties: { addressSpace: { addressPrefixes: [prefix] } }
}

resource subnet 'Microsoft.Network/virtualNetworks/subnets@2026-03-01' = {
  parent: network
  name: 'environment'
  properties: {
    addressPrefix: cidrSubnet(prefix, parseCidr(prefix).cidr + 1, 0)
    serviceEndpoints: [{ service: 'Microsoft.AzureCosmosDB' }]
    delegations: [{ name: 'environment', properties: { serviceName: 'Microsoft.App/environments' } }]
  }
}

resource endpointSubnet 'Microsoft.Network/virtualNetworks/subnets@2026-03-01' = if (endpoints) {
  parent: network
  name: 'endpoints'
  properties: { addressPrefix: cidrSubnet(prefix, parseCidr(prefix).cidr + 2, 2) }
  dependsOn: [subnet] // Azure changes one subnet of a network at a time
}
