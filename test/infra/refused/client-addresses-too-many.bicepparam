// clientAddresses contains an address that admits strangers: a range that is larger than a /8, or 0.0.0.0, which is all of Azure.
using '../../../infra/bicep/main.bicep'

param name = 'client-address'
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param clientAddresses = ['128.0.0.0/1', '64.0.0.0/2']
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/24' }
}
