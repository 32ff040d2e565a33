using '../main.bicep'

// Keyless, and state-api and group-lister answer only your own address. Without AZURE_CONTAINER_REGISTRY_ENDPOINT it makes
// all but the apps; push their images to the registry that it made, set the variable, and deploy again.
//
// A new revision of welcome beside the old one: REVISION=v2 LIVE=v1, perhaps with another WELCOME or TAG, gives v2 the label
// green and no traffic, for you to test at https://welcome---green.DOMAIN; without LIVE it then gets it all.
var registry = readEnvironmentVariable('AZURE_CONTAINER_REGISTRY_ENDPOINT', '')
var address = readEnvironmentVariable('MY_ADDRESS', '')
var tag = readEnvironmentVariable('TAG', 'v1')
var revision = readEnvironmentVariable('REVISION', tag)
var live = readEnvironmentVariable('LIVE', '')
var greeting = readEnvironmentVariable('WELCOME', '')

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
        stateApi: { image: '${registry}/state-api:${tag}', revision: revision }
        groupLister: { image: '${registry}/group-lister:${tag}', revision: revision }
        welcome: {
          image: '${registry}/welcome:${tag}'
          revision: revision
          welcome: empty(greeting) ? null : greeting
          traffic: empty(live) || live == revision
            ? [{ label: 'blue', revision: revision, weight: 100 }]
            : [
                { label: 'blue', revision: live, weight: 100 }
                { label: 'green', revision: revision, weight: 0 }
              ]
        }
      }
}
