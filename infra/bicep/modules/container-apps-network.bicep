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
    delegations: [{ name: 'environment', properties: { serviceName: 'Microsoft.App/environments' } }]
  }
}
