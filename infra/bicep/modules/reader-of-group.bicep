metadata name = 'Reader role on the resource group'
metadata description = 'Grants a managed identity read access to this resource group.'

@description('Required. Name of the managed identity, in this resource group.')
param identityName string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/general#reader
var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'acdd72a7-3385-48ef-bd42-f606fba81ae7')

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, identity.id, reader)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: reader
  }
}
