using '../../main.bicep'

// AKS with a private API server in a network that exists, whose name is in a private DNS zone that exists: hub and
// spoke. Replace the ids; the zone must belong to the region of the deployment. The deployment assigns two roles to the
// cluster: Network Contributor on the virtual network and Private DNS Zone Contributor on the zone.
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')
var region = readEnvironmentVariable('AZURE_LOCATION')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param location = region
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param hosting = {
  on: 'aks'
  tier: 'Free'
  exists: !empty(readEnvironmentVariable('AZURE_AKS_CLUSTER_NAME', ''))
  systemPool: { vmSize: 'Standard_D4s_v5', osDiskSizeGB: 64, min: 1, max: 2 }
  userPool: { vmSize: 'Standard_D2s_v5', osDiskSizeGB: 64, min: 1, max: 3 }
  network: {
    subnetId: '/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke/subnets/snet-aks'
  }
  apiServer: {
    dns: 'existing'
    zoneId: '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-hub/providers/Microsoft.Network/privateDnsZones/privatelink.${region}.azmk8s.io'
    link: 'exists' // the spoke's DNS servers resolve the zone; 'create' links the zone to the virtual network
  }
  administrator: empty(administrator)
    ? null
    : { id: administrator, type: empty(principalType) ? 'User' : principalType }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
