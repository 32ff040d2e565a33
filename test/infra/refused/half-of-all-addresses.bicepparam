// access.ranges contains a range that is larger than a /8, which admits strangers.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'addresses', ranges: ['0.0.0.0/1', '128.0.0.0/1'] }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
