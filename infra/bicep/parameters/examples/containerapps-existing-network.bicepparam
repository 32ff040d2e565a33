using '../../main.bicep'

// Like containerapps.bicepparam, in a subnet that exists. Only callers in the network reach the apps. Their names are in
// a private DNS zone that exists and that the network resolves already.
var network = '/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-network/providers/Microsoft.Network'

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: {
    source: 'existing'
    subnetId: '${network}/virtualNetworks/vnet-spoke/subnets/container-apps'
    private: {
      dns: 'existing'
      zoneId: '${network}/privateDnsZones/westeurope.azurecontainerapps.io'
      link: 'exists'
    }
  }
}
