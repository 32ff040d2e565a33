// network.subnetId snet-aks is not the resource id of a subnet.
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
  network: { subnetId: 'snet-aks' }
}
