using '../../main.bicep'

// Like aks.bicepparam with its default sizes, but with the nodes in a subnet that exists, for example in a spoke of your
// company's network. Replace the id. The deployment assigns Network Contributor on the subnet to the cluster, so it
// needs the right to assign roles there.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param hosting = {
  on: 'aks'
  tier: 'Free'
  exists: !empty(readEnvironmentVariable('AZURE_AKS_CLUSTER_NAME', ''))
  systemPool: { vmSize: 'Standard_D4s_v5', osDiskSizeGB: 64, min: 1, max: 2 }
  userPool: { vmSize: 'Standard_D2s_v5', osDiskSizeGB: 64, min: 1, max: 3 }
  network: {
    subnetId: '/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke/subnets/snet-aks'
    podCidr: '100.64.0.0/16' // no other network that the subnet reaches may use these two
    serviceCidr: '100.65.0.0/24'
  }
  apiServer: { dns: 'public', authorizedRanges: empty(address) ? null : ['${address}/32'] }
  administrator: empty(administrator)
    ? null
    : { id: administrator, type: empty(principalType) ? 'User' : principalType }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
