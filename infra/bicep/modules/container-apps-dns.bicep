metadata name = 'Private DNS zone of a Container Apps environment'
metadata description = 'Resolves the names of all apps to the private address of the environment.'

import { Tags } from 'tags.bicep'

@description('Required. Default domain of the environment.')
param domain string

@description('Required. Private IPv4 address of the environment.')
param address string

@description('Required. Name of the virtual network that resolves the names, in this resource group.')
param networkName string

@description('Required. Tags of the resources.')
param tags Tags

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' existing = {
  name: networkName
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: domain
  location: 'global'
  tags: tags
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: zone
  name: networkName
  location: 'global'
  tags: tags
  properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
}

resource everyApp 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: '*'
  properties: { ttl: 3600, aRecords: [{ ipv4Address: address }] }
}
