// image welcome:v1 names no registry. Set SERVICE_WELCOME_IMAGE_NAME to the image to deploy, such as REGISTRY.azurecr.io/welcome:TAG.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'nobody' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
