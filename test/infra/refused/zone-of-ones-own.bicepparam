// apiServer.zone is notprivatelink.westeurope.azmk8s.io; AKS takes privatelink.westeurope.azmk8s.io and its subdomains only.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: []
  systemPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 1, max: 1 }
  apiServer: { dns: 'custom', zone: 'notprivatelink.westeurope.azmk8s.io' }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
