using '../main.bicep'

// containerapps.bicepparam, but the sidecar of state-api uses the key of the Cosmos DB account, for whoever has to. The key is a
// secret of the component, copied from the account by the deployment.
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
