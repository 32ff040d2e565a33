metadata name = 'Federated credential'
metadata description = 'Lets a Kubernetes service account sign in as a managed identity.'

@description('Required. Name of the credential.')
param name string

@description('Required. Name of the managed identity, in this resource group.')
param identityName string

@description('Required. URL of the OIDC issuer of the cluster.')
param issuer string

@description('Required. Name of the service account in the namespace dapr-samples.')
param serviceAccount string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource credential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: identity
  name: name
  properties: {
    issuer: issuer
    subject: 'system:serviceaccount:dapr-samples:${serviceAccount}'
    audiences: ['api://AzureADTokenExchange']
  }
}
