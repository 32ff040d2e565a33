metadata name = 'Dapr component statestore'
metadata description = 'State store of state-api in a Container Apps environment, with its resiliency policy.'

@description('Required. Name of the Container Apps environment, in this resource group.')
param environmentName string

@description('Required. Name of the Cosmos DB account, in this resource group.')
param accountName string

@description('Optional. Name of the managed identity of state-api, in this resource group. Without it the component uses the account key.')
param identityName string?

resource environment 'Microsoft.App/managedEnvironments@2026-07-01' existing = {
  name: environmentName
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2026-03-15' existing = {
  name: accountName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = if (identityName != null) {
  name: identityName ?? ''
}

// The same component as components/cosmos/containerapps.yaml and containerapps-key.yaml.
resource component 'Microsoft.App/managedEnvironments/daprComponents@2026-07-01' = {
  parent: environment
  name: 'statestore'
  properties: {
    componentType: 'state.azure.cosmosdb'
    version: 'v1'
    initTimeout: '30s' // the first token can take longer than the default of 5 s
    secrets: identityName == null ? [{ name: 'cosmos-key', value: account.listKeys().primaryMasterKey }] : []
    metadata: [
      { name: 'url', value: account.properties.documentEndpoint }
      identityName == null
        ? { name: 'masterKey', secretRef: 'cosmos-key' }
        : { name: 'azureClientId', value: identity!.properties.clientId }
      { name: 'database', value: 'dapr-db' }
      { name: 'collection', value: 'statestore' }
    ]
    scopes: ['state-api'] // sidecars of apps without the identity would fail to start
  }
}

// components/local/resiliency.yaml in whole seconds. There is no retry: it would end after the timeout of state-api.
resource resiliency 'Microsoft.App/managedEnvironments/daprComponents/resiliencyPolicies@2026-07-01' = {
  parent: component
  name: 'statestore'
  properties: {
    outboundPolicy: {
      timeoutPolicy: { responseTimeoutInSeconds: 1 }
      circuitBreakerPolicy: { consecutiveErrors: 20, timeoutInSeconds: 2 }
    }
  }
}
