metadata name = 'DNS record of a Container Apps environment'
metadata description = 'Resolves the names of all apps to the private address of the environment.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the private DNS zone, in this resource group.')
param zoneName string

@description('Required. Name of the record in the zone; its first label is *.')
param record string

@description('Required. Private IPv4 address of the environment.')
param address string

@description('Required. Tags of the link.')
param tags Tags

@description('Optional. Resource id of the virtual network to link to the zone.')
param networkId string?

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' existing = {
  name: zoneName
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = if (networkId != null) {
  parent: zone
  name: '${last(split(networkId ?? 'none', '/'))}-${uniqueString(networkId ?? 'none')}' // networks can have the same name
  location: 'global'
  tags: tags
  properties: { registrationEnabled: false, virtualNetwork: { id: networkId! } }
}

resource everyApp 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: record
  properties: { ttl: 3600, aRecords: [{ ipv4Address: address }] }
}
