// missing the following required properties: "ranges"
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'addresses' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
