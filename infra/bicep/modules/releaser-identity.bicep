metadata name = 'Identity of the release workflow'
metadata description = 'A managed identity that trusts the given subjects of GitHub. Its roles let it change no identity, so it needs no lock.'

@sealed()
type Subject = {
  @description('Required. Name of the federated credential.')
  name: string

  @description('Required. Subject of the tokens that can sign in.')
  subject: string
}

@description('Required. Name of the managed identity.')
param name string

@description('Required. Azure region of the identity, such as westeurope.')
param location string

@description('Required. Subjects that can sign in, each with its credential.')
@minLength(1)
param subjects Subject[]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
}

// Azure rejects two credentials of one identity at once:
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations#concurrent-updates-arent-supported-user-assigned-managed-identities
@batchSize(1)
resource credentials 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = [
  for item in subjects: {
    parent: identity
    name: item.name
    properties: {
      issuer: 'https://token.actions.githubusercontent.com'
      subject: item.subject
      audiences: ['api://AzureADTokenExchange']
    }
  }
]

@description('Client id; the variable AZURE_CLIENT_ID of the environments.')
output clientId string = identity.properties.clientId

@description('Object id of the service principal; role assignments use it.')
output principalId string = identity.properties.principalId
