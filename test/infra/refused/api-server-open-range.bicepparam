// apiServer.authorizedRanges contains a /0 range, which admits every address. For a public API server, leave authorizedRanges out.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'public', authorizedRanges: ['0.0.0.0/0'] }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
