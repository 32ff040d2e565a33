metadata name = 'Roles of the GitHub workflow'
metadata description = 'Roles on the subscription. The role that assigns roles has a condition.'

targetScope = 'subscription'

@description('Required. Object id of the service principal, a UUID.')
param principalId string

@description('Required. UUIDs of the roles without a condition.')
param roles string[]

@description('Required. UUID of the role that assigns roles.')
param accessAdministrator string

@description('Required. Condition of the role that assigns roles.')
param condition string

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in roles: {
    name: guid(subscription().id, principalId, role)
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource assignRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, principalId, accessAdministrator)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', accessAdministrator)
    condition: condition
    conditionVersion: '2.0'
  }
}
