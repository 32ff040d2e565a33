// The property "ranges" is not allowed on objects of type "{ who: 'nobody' }"
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'nobody', ranges: ['203.0.113.7/32'] }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
