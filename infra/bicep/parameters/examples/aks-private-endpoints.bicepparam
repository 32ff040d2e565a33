using '../../main.bicep'

// Like aks-existing-network.bicepparam, with addresses of the registry, the vault and Cosmos DB only in the network: the
// endpoints are in a subnet of the spoke, their names in private DNS zones of the hub. Replace the ids; the spoke must
// resolve the zones, or set no zones and the template creates and links them. The Premium registry is billed by the day,
// each endpoint by the hour. Build and push the images from a computer that reaches the network: az acr build and azd's
// remote build run outside of it, and the registry refuses them.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')
var spoke = '/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke'
var zones = '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-hub/providers/Microsoft.Network/privateDnsZones'

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param privateEndpoints = {
  subnetId: '${spoke}/subnets/snet-endpoints'
  zones: {
    registry: '${zones}/privatelink.azurecr.io'
    vault: '${zones}/privatelink.vaultcore.azure.net'
    cosmos: '${zones}/privatelink.documents.azure.com'
  }
}
param hosting = {
  on: 'aks'
  tier: 'Free'
  exists: !empty(readEnvironmentVariable('AZURE_AKS_CLUSTER_NAME', ''))
  systemPool: { vmSize: 'Standard_D4s_v5', osDiskSizeGB: 64, min: 1, max: 2 }
  userPool: { vmSize: 'Standard_D2s_v5', osDiskSizeGB: 64, min: 1, max: 3 }
  network: { subnetId: '${spoke}/subnets/snet-aks' }
  apiServer: { dns: 'public', authorizedRanges: empty(address) ? null : ['${address}/32'] }
  administrator: empty(administrator)
    ? null
    : { id: administrator, type: empty(principalType) ? 'User' : principalType }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
}
