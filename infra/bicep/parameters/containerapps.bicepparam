using '../main.bicep'

// Container Apps without keys. state-api.bicepparam, group-lister.bicepparam and welcome.bicepparam deploy the apps.
// SECRETS_OFFICER is the object id of whoever sets secrets of the vault with az, and SECRETS_OFFICER_TYPE its type, by
// default User.
var groups = readEnvironmentVariable('LISTED', '')
var officer = readEnvironmentVariable('SECRETS_OFFICER', '')
var officerType = readEnvironmentVariable('SECRETS_OFFICER_TYPE', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param vaultOfficer = empty(officer) ? null : { id: officer, type: empty(officerType) ? 'User' : officerType }
param listed = empty(groups) ? 'resourceGroup' : groups
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
