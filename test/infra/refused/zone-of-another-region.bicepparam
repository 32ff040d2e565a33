// apiServer.zone privatelink.northeurope.azmk8s.io is not valid. Use privatelink.westeurope.azmk8s.io or a subdomain of it with at most 32 characters more.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'custom', zone: 'privatelink.northeurope.azmk8s.io' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
