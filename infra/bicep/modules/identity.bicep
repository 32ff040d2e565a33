metadata name = 'Managed identity'
metadata description = 'A user-assigned managed identity. Each module that creates a resource also assigns the roles on it.'

import { Tags } from 'tags.bicep'

@export()
@sealed()
@description('Names of the managed identities of the services.')
type ServiceIdentities = {
  @description('Required. Identity of state-api.')
  stateApi: string

  @description('Required. Identity of group-lister.')
  groupLister: string

  @description('Required. Identity of welcome.')
  welcome: string
}

@description('Required. Name of the managed identity.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Client id; AZURE_CLIENT_ID in the environment of a service.')
output clientId string = identity.properties.clientId

@description('Object id of the service principal; role assignments use it.')
output principalId string = identity.properties.principalId
