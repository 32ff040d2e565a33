using 'main.bicep'

// Keyless, and state-api and group-lister answer only your own address. Without AZURE_CONTAINER_REGISTRY_ENDPOINT it makes
// all but the apps; push their images to the registry that it made, set the variable, and deploy again.
var registry = readEnvironmentVariable('AZURE_CONTAINER_REGISTRY_ENDPOINT', '')
var address = readEnvironmentVariable('MY_ADDRESS', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param listed = 'subscription'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  access: empty(address) ? { who: 'nobody' } : { who: 'addresses', ranges: ['${address}/32'] }
  scale: { min: 1, max: 3, concurrentRequests: 50 }
  apps: empty(registry)
    ? null
    : {
        stateApi: { image: '${registry}/state-api:v1', revision: 'v1' }
        groupLister: { image: '${registry}/group-lister:v1', revision: 'v1' }
        welcome: {
          image: '${registry}/welcome:v1'
          revision: 'v1'
          traffic: [{ label: 'blue', revision: 'v1', weight: 100 }]
        }
      }
}
