using '../main.bicep'

// Container Apps without keys. Set MY_ADDRESS to your public IPv4 address to call state-api and group-lister directly;
// without it only welcome is public.
//
// Deploy twice. Without AZURE_CONTAINER_REGISTRY_ENDPOINT the first deployment creates everything except the apps. Push
// the images to the new registry, set the variable to its host name, and deploy again.
//
// To test a new revision of welcome next to the current one, deploy with REVISION=v2 LIVE=v1 and, if you like, another
// WELCOME or TAG. v2 gets the label green and no traffic; test it at https://welcome---green.DOMAIN. Deploy again
// without LIVE to send all traffic to v2.
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
