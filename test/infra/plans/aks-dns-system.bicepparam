using '../../../infra/bicep/main.bicep'

param name = 'aks-dns-system'
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'system' }
  privilegedContainers: { effect: 'audit', excludedNamespaces: ['monitoring'] }
}
