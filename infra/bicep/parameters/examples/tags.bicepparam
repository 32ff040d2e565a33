using '../../main.bicep'

// Container Apps with tags on every resource. The apps have parameter files of their own: give each the same tags, as
// welcome-tags.bicepparam does. Names start with a letter and have no spaces; there are at most 15.
param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param tags = { costCenter: '4711', owner: 'platform-team' }
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
