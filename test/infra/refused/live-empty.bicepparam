// The provided value (whose length will always be less than or equal to 0) is too short
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'nobody' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
param candidate = { live: '', weight: 0 }
