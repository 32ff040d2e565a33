// name -x is not valid. Use a to z, 0 to 9 and hyphens, with no hyphen at the beginning or the end.
using '../../../infra/bicep/main.bicep'

param name = '-x'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
