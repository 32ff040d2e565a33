metadata name = 'Container registry'
metadata description = 'Stores the images. The admin user is disabled; identities need the AcrPull role.'

@description('Required. Name of the registry: 5 to 50 letters and digits, globally unique.')
@minLength(5)
@maxLength(50)
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Names of the managed identities that can pull images, in this resource group.')
param pullers string[]

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers#acrpull
var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  sku: { name: 'Basic' }
  properties: { adminUserEnabled: false }
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = [
  for puller in pullers: {
    name: puller
  }
]

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (puller, index) in pullers: {
    scope: registry
    name: guid(registry.id, identity[index].id, acrPull)
    properties: {
      principalId: identity[index].properties.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: acrPull
    }
  }
]

@description('Host name of the registry; image references start with it.')
output server string = registry.properties.loginServer
