using '../main.bicep'

// Container Apps without keys. state-api.bicepparam, group-lister.bicepparam and welcome.bicepparam deploy the apps.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param listed = readEnvironmentVariable('LISTED', '') == 'subscription' ? 'subscription' : 'resourceGroup'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
