// privateEndpoints.zones has a wrong zone. Use the resource ids of privatelink.azurecr.io,
using '../../../infra/bicep/main.bicep'

var zones = '/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-hub/providers/Microsoft.Network/privateDnsZones'

param name = 'refused'
param demoSecret = 'x'
param privateEndpoints = {
  zones: {
    registry: '${zones}/privatelink.azurecr.io'
    vault: '${zones}/privatelink.documents.azure.com'
    cosmos: '${zones}/privatelink.vaultcore.azure.net'
  }
}
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/24' }
}
