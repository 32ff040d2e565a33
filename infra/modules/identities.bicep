metadata name = 'Identities of the services'
metadata description = 'A user-assigned managed identity for each service. What each may do is said where that is made.'

@description('Required. Their names.')
param names IdentityNames

@description('Required. Where they are.')
param location string

@export()
@sealed()
type IdentityNames = {
  @description('Required. Of what state-api runs as.')
  stateApi: string

  @description('Required. Of what group-lister runs as.')
  groupLister: string

  @description('Required. Of what welcome runs as.')
  welcome: string
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [
  for item in items(names): {
    name: item.value
    location: location
  }
]
