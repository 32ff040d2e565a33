// access.ranges contains a /0 range, which admits every address. For public access, set access.who to 'anyone'.
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'addresses', ranges: ['0.0.0.0/0'] }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
