// The property "authorizedRanges" is not allowed on objects of type "{ dns: 'system' }"
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'system', authorizedRanges: ['203.0.113.0/24'] }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
