// The zone of apiServer.zoneId, privatelink.northeurope.azmk8s.io, is not valid. Use privatelink.westeurope.azmk8s.io or a subdomain of it with at most 32 characters more.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'existing', zoneId: '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-hub/providers/Microsoft.Network/privateDnsZones/privatelink.northeurope.azmk8s.io', link: 'exists' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
