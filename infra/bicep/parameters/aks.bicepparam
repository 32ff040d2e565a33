using '../main.bicep'

// AKS with a public API server. Deploy infra/kubernetes/overlays/aks to it.
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param listed = readEnvironmentVariable('LISTED', '') == 'subscription' ? 'subscription' : 'resourceGroup'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: ['1', '2', '3']
  systemPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 3 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 3 }
  apiServer: { dns: 'public' }
  administrator: empty(administrator) ? null : { id: administrator, type: 'User' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
