// privateEndpoints.subnetId is outside of the network that the template creates. Remove it, or let hosting.network name
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param privateEndpoints = {
  subnetId: '/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-hub/providers/Microsoft.Network/virtualNetworks/vnet-hub/subnets/endpoints'
}
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/24' }
}
