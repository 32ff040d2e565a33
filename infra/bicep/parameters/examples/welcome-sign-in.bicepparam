using '../../apps/welcome.bicep'

// Like welcome.bicepparam, but anyone can call and has to sign in with Microsoft Entra ID, on an apex domain. The app
// registration is that of docs/operate/sign-in.md, with the redirect URI https://example.com/. Set
// WELCOME_DOMAIN_CERTIFICATE to requested. When the certificate is issued, set it to bound and deploy again.
var certificate = readEnvironmentVariable('WELCOME_DOMAIN_CERTIFICATE', '')
var built = readEnvironmentVariable('SERVICE_WELCOME_IMAGE_NAME', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param image = empty(built) ? '${readEnvironmentVariable('IMAGES', '')}/welcome:1.0.0' : built
param keyVaultName = readEnvironmentVariable('AZURE_KEY_VAULT_NAME')
param access = { who: 'anyone' }
param scale = { min: 1, max: 3, concurrentRequests: 50 }
param signIn = { clientId: '44444444-4444-4444-4444-444444444444' }
param domain = {
  name: 'example.com'
  validation: 'HTTP'
  certificate: empty(certificate)
    ? fail('WELCOME_DOMAIN_CERTIFICATE is missing. Set it to requested to add the domain, or to bound to serve it with the certificate.')
    : certificate
}
