// privateEndpoints needs a network of your own on Container Apps. Set hosting.network, or remove privateEndpoints.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param privateEndpoints = {}
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
