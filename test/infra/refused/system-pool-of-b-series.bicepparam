// systemPool.vmSize Standard_B4ms is of the B series, which AKS refuses for system pools. Use a size such as Standard_D4s_v5.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_B4ms', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'public' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
