metadata name = 'Reader role on the resource group'
metadata description = 'Grants a managed identity read access to this resource group.'

@description('Required. Object id of the managed identity, a UUID.')
param principalId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/general#reader
var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'acdd72a7-3385-48ef-bd42-f606fba81ae7')

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, principalId, reader)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: reader
  }
}
