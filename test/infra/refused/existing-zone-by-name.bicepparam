// apiServer.zoneId privatelink.westeurope.azmk8s.io is not the resource id of a private DNS zone.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'existing', zoneId: 'privatelink.westeurope.azmk8s.io', link: 'exists' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
