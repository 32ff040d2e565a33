// scale.min is 0, but scale.rules has a rule for CPU or memory, with which the app never scales to zero. Set min to 1 or more, or remove the rule.
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'nobody' }
param scale = {
  min: 0
  max: 3
  concurrentRequests: 50
  rules: [{ on: 'custom', scaler: 'memory', metadata: { type: 'Utilization', value: '70' } }]
}
