// access.ranges contains a range that is larger than a /8, which admits strangers. List the ranges of your callers.
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'addresses', ranges: ['0.0.0.0/0'] }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
