using '../../main.bicep'

// Container Apps, with audit logs of the registry, the vault and Cosmos DB in the Log Analytics workspace. The workspace
// bills each GB; these logs grow with image pulls, secret reads and changes of settings, not with requests to the store.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param diagnostics = true
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
