metadata name = 'DNS record of a Container Apps environment'
metadata description = 'Resolves the names of all apps to the private address of the environment.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the private DNS zone, in this resource group: the domain of the environment or a parent of it.')
param zoneName string

@description('Required. Default domain of the environment.')
param domain string

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
  name: '${last(split(networkId ?? '', '/'))}-${uniqueString(networkId ?? '')}' // networks can have the same name
  location: 'global'
  tags: tags
  properties: { registrationEnabled: false, virtualNetwork: { id: networkId! } }
}

resource everyApp 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: domain == zoneName
    ? '*'
    : endsWith(domain, '.${zoneName}')
        ? '*.${take(domain, length(domain) - length(zoneName) - 1)}'
        : fail('The domain of the environment, ${domain}, is not in the zone ${zoneName}. Set network.private.zoneId to the zone of ${domain} or of a parent of it.')
  properties: { ttl: 3600, aRecords: [{ ipv4Address: address }] }
}
