// scale.min (3) is greater than scale.max (1). Lower min or raise max.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'nobody' }
param scale = { min: 3, max: 1, concurrentRequests: 50 }
