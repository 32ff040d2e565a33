// image ghcr.io/owner/dapr-on-azure-samples//welcome:1.0.0 has two slashes in a row. Set IMAGES, or SERVICE_WELCOME_IMAGE_NAME, to a name without a slash at the end.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'ghcr.io/owner/dapr-on-azure-samples//welcome:1.0.0'
param keyVaultName = 'kv-refused'
param access = { who: 'nobody' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
