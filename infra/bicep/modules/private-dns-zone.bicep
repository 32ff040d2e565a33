metadata name = 'Private DNS zone of the AKS cluster'
metadata description = 'Contains the name of a private API server. private-dns-zone-access.bicep lets the cluster use it.'

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
