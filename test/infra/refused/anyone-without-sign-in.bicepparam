// Set WELCOME_SIGN_IN_CLIENT_ID to the client id of an app registration (docs/operate/sign-in.md), or restrict access to addresses.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'anyone' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
