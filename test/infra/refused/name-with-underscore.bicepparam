// name my_env is not valid. Use a to z, 0 to 9 and hyphens, with no hyphen at the beginning or the end.
using '../../../infra/bicep/main.bicep'

param name = 'my_env'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
