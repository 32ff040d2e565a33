using '../../apps/welcome.bicep'

// Like welcome.bicepparam, with the tags of tags.bicepparam.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var built = readEnvironmentVariable('SERVICE_WELCOME_IMAGE_NAME', '')
var images = readEnvironmentVariable('IMAGES', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param image = !empty(built)
  ? built
  : empty(images)
      ? fail('SERVICE_WELCOME_IMAGE_NAME is missing. Set it to the image to deploy, such as REGISTRY.azurecr.io/welcome:1.0.0. Or set IMAGES to the prefix of published images.')
      : '${images}/welcome:1.0.0'
param keyVaultName = readEnvironmentVariable('AZURE_KEY_VAULT_NAME')
param access = empty(address) ? { who: 'nobody' } : { who: 'addresses', ranges: ['${address}/32'] }
param tags = { costCenter: '4711', owner: 'platform-team' }
param scale = { min: 1, max: 3, concurrentRequests: 50 }
