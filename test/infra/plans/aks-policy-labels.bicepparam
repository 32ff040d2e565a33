using '../../../infra/bicep/main.bicep'

param name = 'aks-policy-labels'
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'public' }
  privilegedContainers: {
    effect: 'deny'
    namespaces: ['team-*', '*-prod']
    podLabels: { tier: 'web' }
    excludedNamespaces: ['team-platform']
  }
  podSecurityBaseline: { effect: 'deny', namespaces: ['team-a'], excludedNamespaces: [] }
}
