metadata name = 'Reader of a subscription'
metadata description = 'Lets an identity see what there is, and change nothing.'

targetScope = 'subscription'

@description('Required. Name of the identity.')
param identityName string

@description('Required. Resource group of the identity.')
param identityGroupName string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/general#reader
var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'acdd72a7-3385-48ef-bd42-f606fba81ae7')

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  scope: resourceGroup(identityGroupName)
  name: identityName
}

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, identity.id, reader)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: reader
  }
}
