// candidate.live state-api--0000001 is not a revision of welcome. Use the whole name, welcome--SUFFIX.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'nobody' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
param candidate = { live: 'state-api--0000001', weight: 0 }
