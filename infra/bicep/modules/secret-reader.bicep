metadata name = 'Reader of demosecret'
metadata description = 'Lets an identity read the secret demosecret, and nothing else in the vault.'

@description('Required. Name of the vault, in this resource group.')
param vaultName string

@description('Required. Object id of the service principal of the identity, a UUID; not its client id.')
param principalId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security#key-vault-secrets-user
var secretsUser = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '4633458b-17de-408a-b874-0445c86b69e6'
)

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName

  resource secret 'secrets' existing = {
    name: 'demosecret'
  }
}

resource readSecret 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault::secret
  name: guid(vault::secret.id, principalId, secretsUser)
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: secretsUser }
}
