metadata name = 'Access to a private DNS zone'
metadata description = 'Lets the control plane of an AKS cluster write records to a zone. With networkId, links the zone to that network.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the zone, in this resource group.')
param zoneName string

@description('Required. Tags of the resources.')
param tags Tags

@description('Optional. Resource id of the virtual network to link. Without it, the zone gets no link.')
param networkId string?

@description('Required. Object id of the service principal of the control plane, a UUID.')
param principalId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/networking#private-dns-zone-contributor
var zoneContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'b12aa53e-6015-4669-85d0-8515ebb3ae7f'
)

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' existing = {
  name: zoneName
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = if (networkId != null) {
  parent: zone
  // Networks of several groups can have one name.
  name: '${last(split(networkId ?? 'none', '/'))}-${uniqueString(networkId ?? 'none')}'
  location: 'global'
  tags: tags
  properties: { registrationEnabled: false, virtualNetwork: { id: networkId! } }
}

resource writeRecords 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: zone
  name: guid(zone.id, principalId, zoneContributor)
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: zoneContributor }
}
