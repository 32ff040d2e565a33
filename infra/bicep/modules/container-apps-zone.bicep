metadata name = 'Private DNS zone of a Container Apps environment'
metadata description = 'An empty zone for the default domain of the environment.'

import { Tags } from 'tags.bicep'

@description('Required. Default domain of the environment.')
param domain string

@description('Required. Tags of the resources.')
param tags Tags

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: domain
  location: 'global'
  tags: tags
}

@description('Name of the zone.')
output name string = zone.name
