metadata name = 'Reader of operations of Container Apps'
metadata description = 'A role of its own that reads how operations of Container Apps ended, assigned on the subscription, because the address of an operation names no app.'

targetScope = 'subscription'

@description('Required. Object id of the service principal of the identity, a UUID.')
param principalId string

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'container-apps-operation-reader')
  properties: {
    // A tenant has no two custom roles of the same name.
    roleName: 'Reader of Container Apps Operations (${uniqueString(subscription().id)})'
    description: 'Reads how an operation of Container Apps ended, such as that an image does not exist.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.App/locations/containerappOperationResults/read'
          'Microsoft.App/locations/containerappOperationStatuses/read'
        ]
      }
    ]
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, principalId, role.id)
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: role.id }
}
