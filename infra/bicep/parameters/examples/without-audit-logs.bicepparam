using '../../main.bicep'

// Container Apps, without the audit logs of the registry, the vault and Cosmos DB. The workspace bills each GB; these
// logs grow with image pulls, secret reads and changes of settings, not with requests to the store. Without them, the
// use of a stolen token leaves no trace.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param diagnostics = false
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
