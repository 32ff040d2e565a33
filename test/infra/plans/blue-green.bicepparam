using '../../../infra/bicep/apps/welcome.bicep'

param name = 'dapr-samples'
param image = 'registry.azurecr.io/welcome:v2'
param keyVaultName = 'kv-of-the-tests'
param access = { who: 'anyone' }
param scale = { min: 0, max: 5, concurrentRequests: 20 }
param candidate = { live: 'welcome--0000001', weight: 10 }
param welcome = 'Hello from v2!'
param signIn = { clientId: '44444444-4444-4444-4444-444444444444' }
