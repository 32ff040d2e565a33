// is too small to assign to a target for which the minimum allowable value is 30
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', osDiskSizeGB: 16, min: 1, max: 1 }
  apiServer: { dns: 'public' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
