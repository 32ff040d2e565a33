using '../../main.bicep'

// AKS as a team operates it: a control plane with an SLA, at least three nodes in each pool, upgrades on Sunday morning,
// and logs, Kubernetes events and metrics in Azure Monitor.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param clientAddresses = empty(address) ? [] : [address]
param hosting = {
  on: 'aks'
  tier: 'Standard'
  exists: !empty(readEnvironmentVariable('AZURE_AKS_CLUSTER_NAME', ''))
  systemPool: { vmSize: 'Standard_D4s_v5', osDiskSizeGB: 64, min: 3, max: 4 }
  userPool: { vmSize: 'Standard_D4s_v5', osDiskSizeGB: 64, min: 3, max: 6 }
  apiServer: { dns: 'public', authorizedRanges: empty(address) ? null : ['${address}/32'] }
  administrator: empty(administrator)
    ? null
    : { id: administrator, type: empty(principalType) ? 'User' : principalType }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
  maintenance: { day: 'Sunday', hour: 1, hours: 4, utcOffset: '+01:00' }
  monitoring: ['containerInsights', 'prometheus']
}
