// The property "who" expected a value of type "'addresses' | 'nobody'" but the provided value is of type "'anyone'".
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'anyone' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
