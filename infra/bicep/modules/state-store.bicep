metadata name = 'Dapr component statestore'
metadata description = 'State store of state-api in a Container Apps environment, with its resiliency policy.'

@description('Required. Name of the Container Apps environment, in this resource group.')
param environmentName string

@description('Required. Endpoint of the Cosmos DB account.')
param url string

@description('Required. Credential of the sidecar of state-api for Cosmos DB. identity: the managed identity of state-api. key: accountKey.')
param credential 'identity' | 'key'

@description('Required. Client id of the managed identity of state-api.')
param clientId string

@description('Optional. Key of the Cosmos DB account.')
@secure()
param accountKey string?

resource environment 'Microsoft.App/managedEnvironments@2026-07-01' existing = {
  name: environmentName
}

// The same component as components/cosmos/containerapps.yaml and containerapps-key.yaml.
resource component 'Microsoft.App/managedEnvironments/daprComponents@2026-07-01' = {
  parent: environment
  name: 'statestore'
  properties: {
    componentType: 'state.azure.cosmosdb'
    version: 'v1'
    initTimeout: '30s' // the first token can take longer than the default of 5 s
    secrets: credential == 'key' ? [{ name: 'cosmos-key', value: accountKey }] : []
    metadata: [
      { name: 'url', value: url }
      credential == 'key' ? { name: 'masterKey', secretRef: 'cosmos-key' } : { name: 'azureClientId', value: clientId }
      { name: 'database', value: 'dapr-db' }
      { name: 'collection', value: 'statestore' }
    ]
    scopes: ['state-api'] // sidecars of apps without the identity would fail to start
  }
}

// components/local/resiliency.yaml in whole seconds.
resource resiliency 'Microsoft.App/managedEnvironments/daprComponents/resiliencyPolicies@2026-07-01' = {
  parent: component
  name: 'statestore'
  properties: {
    outboundPolicy: {
      timeoutPolicy: { responseTimeoutInSeconds: 1 }
      circuitBreakerPolicy: { consecutiveErrors: 100, timeoutInSeconds: 2 }
    }
  }
}
