using '../../main.bicep'

// AKS with a private API server, whose name is in a private DNS zone that the template creates. The policy reports
// privileged containers but does not reject them.
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var region = readEnvironmentVariable('AZURE_LOCATION')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param location = region
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param hosting = {
  on: 'aks'
  tier: 'Standard'
  zones: ['1', '2', '3']
  systemPool: { vmSize: 'Standard_D2s_v5', min: 3, max: 3 }
  userPool: { vmSize: 'Standard_D2s_v5', min: 3, max: 6 }
  apiServer: { dns: 'custom', zone: 'privatelink.${region}.azmk8s.io' }
  administrator: empty(administrator) ? null : { id: administrator, type: 'User' }
  privilegedContainers: { effect: 'audit', excludedNamespaces: ['monitoring'] }
}
