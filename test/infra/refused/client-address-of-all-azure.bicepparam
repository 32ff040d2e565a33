// clientAddresses contains an address that admits strangers: 0.0.0.0 is all of Azure, a /0 range every address.
using '../../../infra/bicep/main.bicep'

param name = 'client-address'
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param clientAddresses = ['0.0.0.0']
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/24' }
}
