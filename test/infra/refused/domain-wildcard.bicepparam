// domain.name *.example.com is not a domain name.
using '../../../infra/bicep/apps/welcome.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/welcome:v1'
param keyVaultName = 'kv-refused'
param access = { who: 'anyone' }
param signIn = { clientId: '44444444-4444-4444-4444-444444444444' }
param scale = { min: 1, max: 1, concurrentRequests: 50 }
param domain = { name: '*.example.com', validation: 'CNAME', certificate: 'requested' }
