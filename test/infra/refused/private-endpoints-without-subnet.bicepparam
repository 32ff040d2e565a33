// privateEndpoints.subnetId is missing. Set it to a subnet of the existing network that hosting.network names.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param privateEndpoints = {}
param hosting = {
  on: 'aks'
  tier: 'Free'
  systemPool: { vmSize: 'Standard_D4s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  network: {
    subnetId: '/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke/subnets/snet-aks'
  }
  apiServer: { dns: 'public' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
