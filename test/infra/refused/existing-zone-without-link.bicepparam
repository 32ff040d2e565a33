// missing the following required properties: "link"
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'existing', zoneId: '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-hub/providers/Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
