// The provided value (whose length will always be less than or equal to 0) is too short
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'addresses', ranges: [] }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
