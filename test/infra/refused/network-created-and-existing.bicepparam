// The property "subnetId" is not allowed on objects of type "{ source: 'created'
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/24', subnetId: '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/v/subnets/s' }
}
