using '../../main.bicep'

// Like containerapps.bicepparam, but the sidecar of state-api uses the account key of Cosmos DB. Use this only where
// you cannot use an identity. The deployment copies the key from the account into a secret of the Dapr component.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param cosmosCapacity = { mode: 'manual', throughput: 400 }
param hosting = {
  on: 'containerapps'
  stateStore: 'key'
}
