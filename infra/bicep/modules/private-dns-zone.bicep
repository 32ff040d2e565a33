metadata name = 'Private DNS zone'
metadata description = 'An empty zone, for a private API server of AKS or for the apps of a private Container Apps environment.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the zone, such as privatelink.westeurope.azmk8s.io.')
param name string

@description('Required. Tags of the resources.')
param tags Tags

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: name
  location: 'global'
  tags: tags
}
