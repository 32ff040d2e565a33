using '../main.bicep'

// Like containerapps.bicepparam, but the sidecar of state-api uses the account key of Cosmos DB. Use this only where
// you cannot use an identity. The deployment copies the key from the account into a secret of the Dapr component.
var registry = readEnvironmentVariable('AZURE_CONTAINER_REGISTRY_ENDPOINT', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param cosmosCapacity = { mode: 'manual', throughput: 400 }
param hosting = {
  on: 'containerapps'
  stateStore: 'key'
  access: { who: 'nobody' }
  scale: { min: 0, max: 1, concurrentRequests: 50 }
  apps: empty(registry)
    ? null
    : {
        stateApi: { image: '${registry}/state-api:v1', revision: 'v1' }
        groupLister: { image: '${registry}/group-lister:v1', revision: 'v1' }
        welcome: { image: '${registry}/welcome:v1', revision: 'v1' }
      }
}
