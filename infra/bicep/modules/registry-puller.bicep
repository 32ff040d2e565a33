metadata name = 'AcrPull role'
metadata description = 'Lets an identity pull images from the registry.'

@description('Required. Name of the container registry, in this resource group.')
param registryName string

@description('Required. Object id of the service principal of the identity, a UUID.')
param principalId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers#acrpull
var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: registry
  name: guid(registry.id, principalId, acrPull) // a new identity gets a new assignment: no assignment can change its principal
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: acrPull }
}
