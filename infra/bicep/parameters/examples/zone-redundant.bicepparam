using '../../main.bicep'

// Container Apps and Cosmos DB that survive the failure of one availability zone, in a region that has zones. Set this
// for the first deployment: Azure cannot move an environment or a serverless account into zones later. Cosmos DB admits
// the network of the apps and MY_ADDRESS.
var address = readEnvironmentVariable('MY_ADDRESS', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param clientAddresses = empty(address) ? [] : [address]
param zoneRedundant = true
param cosmosCapacity = { mode: 'autoscale', maxThroughput: 1000 }
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/24' }
}
