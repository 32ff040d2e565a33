// too large to assign to a target for which the maximum allowable value is 100
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'nobody' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
param candidate = { live: 'welcome--0000001', weight: 101 }
