using '../../apps/welcome.bicep'

// Like welcome.bicepparam, with the tags of tags.bicepparam.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var built = readEnvironmentVariable('SERVICE_WELCOME_IMAGE_NAME', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param image = empty(built) ? '${readEnvironmentVariable('IMAGES', '')}/welcome:1.0.0' : built
param keyVaultName = readEnvironmentVariable('AZURE_KEY_VAULT_NAME')
param access = empty(address) ? { who: 'nobody' } : { who: 'addresses', ranges: ['${address}/32'] }
param tags = { costCenter: '4711', owner: 'platform-team' }
param scale = { min: 1, max: 3, concurrentRequests: 50 }
