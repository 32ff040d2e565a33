// zoneRedundant needs a network of your own on Container Apps. Set hosting.network, or set zoneRedundant to false.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param zoneRedundant = true
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
