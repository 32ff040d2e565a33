// network.subnetId /subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke is not the resource id of a subnet. Read it with: az network vnet subnet show --query id
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'public' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
  network: { subnetId: '/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke' }
}
