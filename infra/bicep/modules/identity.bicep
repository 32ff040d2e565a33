metadata name = 'Identity'
metadata description = 'A user-assigned managed identity. What it may do is said where that is made.'

@description('Required. Name of the identity.')
param name string

@description('Required. Where it is.')
param location string

@export()
@sealed()
@description('The identities of the services.')
type ServiceIdentities = {
  @description('Required. Name of what state-api runs as.')
  stateApi: string

  @description('Required. Name of what group-lister runs as.')
  groupLister: string

  @description('Required. Name of what welcome runs as.')
  welcome: string
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
}

@description('What a service calls AZURE_CLIENT_ID.')
output clientId string = identity.properties.clientId

@description('Object id.')
output principalId string = identity.properties.principalId
