metadata name = 'Network Contributor role'
metadata description = 'Lets an identity use a virtual network, or one of its subnets.'

@description('Required. Name of the virtual network, in this resource group.')
param networkName string

@description('Optional. Name of the subnet. Without it, the role covers the whole virtual network.')
param subnetName string?

@description('Required. Object id of the service principal of the identity, a UUID.')
param principalId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/networking#network-contributor
var networkContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '4d97b98b-1d4f-4787-a291-c67834d212e7'
)

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' existing = {
  name: networkName

  resource subnet 'subnets' existing = {
    name: subnetName ?? 'default'
  }
}

resource useNetwork 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (subnetName == null) {
  scope: network
  name: guid(network.id, principalId, networkContributor)
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: networkContributor }
}

resource useSubnet 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (subnetName != null) {
  scope: network::subnet
  name: guid(network::subnet.id, principalId, networkContributor)
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: networkContributor }
}
