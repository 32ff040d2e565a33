using '../../main.bicep'

// Container Apps, with a lock: until you delete it, Azure rejects the deletion of the resource group and of each resource
// in it, and azd down fails. Only Owner and User Access Administrator can create and delete locks.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param lock = true
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
