// The specified CIDR 'home' is not valid.
using '../../../infra/bicep/apps/group-lister.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/group-lister:v1'
param access = { who: 'addresses', ranges: ['home'] }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
