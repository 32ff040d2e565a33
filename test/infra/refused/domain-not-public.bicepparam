// domain needs access.who 'anyone', because the certificate authority calls the app. Set WELCOME_ACCESS to anyone and WELCOME_SIGN_IN_CLIENT_ID, or remove domain.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'addresses', ranges: ['203.0.113.7/32'] }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
param domain = { name: 'welcome.example.com', validation: 'CNAME', certificate: 'requested' }
