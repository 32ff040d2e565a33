using '../../main.bicep'

// Like aks.bicepparam with its default sizes, but with a private API server, whose name is in a private DNS zone that
// the template creates. Only networks that reach the network of the nodes can connect to it. MY_ADDRESS reaches the vault
// and Cosmos DB.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')
var region = readEnvironmentVariable('AZURE_LOCATION')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param location = region
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param clientAddresses = empty(address) ? [] : [address]
param hosting = {
  on: 'aks'
  tier: 'Free'
  exists: !empty(readEnvironmentVariable('AZURE_AKS_CLUSTER_NAME', ''))
  systemPool: { vmSize: 'Standard_D4s_v5', osDiskSizeGB: 64, min: 1, max: 2 }
  userPool: { vmSize: 'Standard_D2s_v5', osDiskSizeGB: 64, min: 1, max: 3 }
  apiServer: { dns: 'custom', zone: 'privatelink.${region}.azmk8s.io' }
  administrator: empty(administrator)
    ? null
    : { id: administrator, type: empty(principalType) ? 'User' : principalType }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
