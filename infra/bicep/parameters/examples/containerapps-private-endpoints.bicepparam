using '../../main.bicep'

// Container Apps in a network that the template creates. The registry, the vault and Cosmos DB have addresses only there:
// private endpoints and the Premium registry that they need are billed by the hour and by the day. Build and push the
// images from a computer in the network: az acr build and azd's remote build run outside of it, and the registry refuses
// them. https://learn.microsoft.com/azure/container-registry/container-registry-private-link
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param privateEndpoints = {}
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.20.0.0/24' }
}
