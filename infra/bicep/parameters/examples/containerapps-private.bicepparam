using '../../main.bicep'

// Like containerapps.bicepparam, but the template creates a virtual network, and only callers in it reach the apps.
// To let every caller in the network reach welcome, set access in welcome.bicepparam to
// { who: 'addresses', ranges: ['10.20.0.0/23'] }. Without that and MY_ADDRESS, only apps in the environment reach it.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param cosmosCapacity = { mode: 'autoscale', maxThroughput: 1000 }
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/23', private: { dns: 'created' } }
}
