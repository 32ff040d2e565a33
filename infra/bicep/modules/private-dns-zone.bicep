metadata name = 'Private DNS zone of the AKS cluster'
metadata description = 'Contains the name of a private API server, and is linked to the virtual network of the nodes.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the zone, such as privatelink.westeurope.azmk8s.io.')
param name string

@description('Required. Name of the virtual network to link, in this resource group.')
param networkName string

@description('Required. Object id of the service principal of the control plane, a UUID. It writes the records.')
param principalId string

@description('Required. Tags of the resources.')
param tags Tags

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/networking#private-dns-zone-contributor
var zoneContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'b12aa53e-6015-4669-85d0-8515ebb3ae7f'
)

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' existing = {
  name: networkName
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: name
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

resource writeRecords 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: zone
  name: guid(zone.id, principalId, zoneContributor)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: zoneContributor
  }
}
