// The parameter "welcome" is assigned in the params file without being declared
using '../../../infra/bicep/apps/group-lister.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/group-lister:v1'
param access = { who: 'nobody' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
param welcome = 'Hello'
