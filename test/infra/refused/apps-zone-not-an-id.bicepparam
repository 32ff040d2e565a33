// network.private.zoneId westeurope.azurecontainerapps.io is not the resource id of a private DNS zone.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: {
    source: 'existing'
    subnetId: '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-spoke/subnets/container-apps'
    private: { dns: 'existing', zoneId: 'westeurope.azurecontainerapps.io', link: 'exists' }
  }
}
