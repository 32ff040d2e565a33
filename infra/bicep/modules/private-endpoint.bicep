metadata name = 'Private endpoint'
metadata description = 'Gives a service an address in a virtual network, to which the public name of the service resolves there.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the private endpoint.')
param name string

@description('Required. Azure region of the virtual network, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Resource id of the service.')
param serviceId string

@description('Required. Part of the service that the endpoint reaches; Azure calls it the group id or target sub-resource.')
param part 'registry' | 'Sql' | 'vault'

@description('Required. Resource id of the subnet of the endpoint.')
param subnetId string

@description('Optional. Resource id of an existing private DNS zone. Without it this module creates the zone.')
param zoneId string?

@description('Required. Name of the private DNS zone that this module creates.')
param zoneName string

@description('Required. Resource id of the virtual network that resolves names in the created zone.')
param networkId string

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = if (zoneId == null) {
  name: zoneName
  location: 'global'
  tags: tags
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = if (zoneId == null) {
  parent: zone
  name: last(split(networkId, '/'))
  location: 'global'
  tags: tags
  properties: { registrationEnabled: false, virtualNetwork: { id: networkId } }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2026-03-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    privateLinkServiceConnections: [
      { name: name, properties: { privateLinkServiceId: serviceId, groupIds: [part] } }
    ]
  }
}

// Writes the records of the service into the zone, and removes them with the endpoint.
resource records 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2026-03-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [{ name: part, properties: { privateDnsZoneId: zoneId == null ? zone.id : zoneId! } }]
  }
}
