using '../../main.bicep'

// Like aks.bicepparam with its default sizes, but with two policies beside each other: all namespaces are audited against
// the baseline of the pod security standards, and pods with privileged containers are rejected in the namespaces of
// the list.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param clientAddresses = empty(address) ? [] : [address]
param hosting = {
  on: 'aks'
  tier: 'Free'
  exists: !empty(readEnvironmentVariable('AZURE_AKS_CLUSTER_NAME', ''))
  systemPool: { vmSize: 'Standard_D4s_v5', osDiskSizeGB: 64, min: 1, max: 2 }
  userPool: { vmSize: 'Standard_D2s_v5', osDiskSizeGB: 64, min: 1, max: 3 }
  apiServer: { dns: 'public', authorizedRanges: empty(address) ? null : ['${address}/32'] }
  administrator: empty(administrator)
    ? null
    : { id: administrator, type: empty(principalType) ? 'User' : principalType }
  privilegedContainers: { effect: 'deny', namespaces: ['default', 'dapr-samples', 'team-*'], excludedNamespaces: [] }
  podSecurityBaseline: { effect: 'audit', excludedNamespaces: ['monitoring'] }
}
