// The property "who" expected a value of type "'addresses' | 'nobody'" but the provided value is of type "'anyone'".
using '../../../infra/bicep/apps/group-lister.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/group-lister:v1'
param access = { who: 'anyone' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
