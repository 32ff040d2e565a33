// The provided value (which will always be greater than or equal to 150) is too large
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'nobody' }
param scale = { min: 1, max: 3, concurrentRequests: 50, rules: [{ on: 'cpu', utilization: 150 }] }
