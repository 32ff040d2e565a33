// apiServer.authorizedRanges contains a range that is larger than a /8, which admits strangers. List the ranges of your callers;
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'public', authorizedRanges: ['0.0.0.0/1', '128.0.0.0/1'] }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
