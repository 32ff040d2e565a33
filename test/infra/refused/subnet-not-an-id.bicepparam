// network.subnetId snet-apps is not the resource id of a subnet. Read it with: az network vnet subnet show --query id
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'existing', subnetId: 'snet-apps' }
}
