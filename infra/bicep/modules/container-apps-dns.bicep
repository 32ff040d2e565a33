metadata name = 'Names of a private Container Apps environment'
metadata description = 'A private DNS zone in which the network finds every app.'

@description('Required. Domain of the environment.')
param domain string

@description('Required. Address of the environment in the network.')
param address string

@description('Required. Network that resolves the names, in this resource group.')
param networkName string

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' existing = {
  name: networkName
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: domain
  location: 'global'
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: zone
  name: networkName
  location: 'global'
  properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
}

resource everyApp 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: '*'
  properties: { ttl: 3600, aRecords: [{ ipv4Address: address }] }
}
