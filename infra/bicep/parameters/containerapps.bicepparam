using '../main.bicep'

// Container Apps without keys. state-api.bicepparam, group-lister.bicepparam and welcome.bicepparam deploy the apps.
var groups = readEnvironmentVariable('LISTED', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param listed = empty(groups) ? 'resourceGroup' : groups
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
