// is not the resource id of a subnet. Read it with: az network vnet subnet show --query id
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'existing', subnetId: '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-spoke' }
}
