// systemPool.min (3) is greater than systemPool.max (2). Lower min or raise max.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D2s_v5', min: 3, max: 2 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'public' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
