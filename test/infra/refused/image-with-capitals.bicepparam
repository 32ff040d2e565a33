// image ghcr.io/OWNER/dapr-on-azure-samples/welcome:1.0.0 has capital letters before the tag. Write the name in lower case.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'ghcr.io/OWNER/dapr-on-azure-samples/welcome:1.0.0'
param keyVaultName = 'kv-refused'
param access = { who: 'nobody' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
