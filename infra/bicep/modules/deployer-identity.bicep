metadata name = 'Identity of the GitHub workflow'
metadata description = 'A managed identity that trusts one subject of GitHub. A lock keeps a run from adding a credential to the identity, which would work without GitHub. It does not keep a run from using the identity for another resource.'

@description('Required. Name of the managed identity.')
param name string

@description('Required. Azure region of the identity, such as westeurope.')
param location string

@description('Required. Subject of the tokens that can sign in.')
param subject string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
}

resource credential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: identity
  name: 'github'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: subject
    audiences: ['api://AzureADTokenExchange']
  }
}

// The identity may manage all resources, but neither of its roles may delete a lock.
resource lock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'read-only'
  properties: {
    level: 'ReadOnly'
    notes: 'Keeps the identity from adding credentials to itself. Before a change: az lock delete --name read-only --resource-group ${resourceGroup().name}'
  }
  dependsOn: [credential]
}

@description('Client id; the variable AZURE_CLIENT_ID of the repository.')
output clientId string = identity.properties.clientId

@description('Object id of the service principal; role assignments use it.')
output principalId string = identity.properties.principalId
