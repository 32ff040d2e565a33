using '../../main.bicep'

// Like containerapps.bicepparam, but the template creates a virtual network, and only callers in it reach the apps.
// Deploy welcome with WELCOME_ACCESS=anyone, so that every caller in the network reaches it. With neither that nor
// MY_ADDRESS, only apps in the environment do.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param cosmosCapacity = { mode: 'autoscale', maxThroughput: 1000 }
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/23', private: { dns: 'created' } }
}
