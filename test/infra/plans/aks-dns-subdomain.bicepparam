using '../../../infra/bicep/main.bicep'

param name = 'aks-dns-subdomain'
param location = 'West Europe'
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'custom', zone: 'samples.privatelink.westeurope.azmk8s.io' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
