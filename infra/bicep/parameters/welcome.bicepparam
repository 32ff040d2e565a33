using '../apps/welcome.bicep'

// Deploys the image SERVICE_WELCOME_IMAGE_NAME, which azd sets. Without it, deploys the image of this release with the
// prefix IMAGES: docs/deploy/containers.md#use-published-images.
// Set MY_ADDRESS to your public IPv4 address to call the app directly; without it only apps in the environment can.
// Set WELCOME_SIGN_IN_CLIENT_ID to the client id of an app registration in the tenant of the deployment to require
// sign-in with Microsoft Entra ID: docs/operate/sign-in.md. With it, WELCOME_ACCESS=anyone lets every address call.
// To test a new revision before it gets traffic, set LIVE to the name of the revision that keeps the traffic. The label
// green reaches the new revision, and blue the live one; in the original walkthrough of blue-green releases, green is
// live and blue is the preview. CANDIDATE_WEIGHT sends the new revision a percentage of the traffic. To promote it,
// deploy with CANDIDATE_WEIGHT=100, then deploy the same image without LIVE and CANDIDATE_WEIGHT.
// For a domain of your own, add the DNS records, then set WELCOME_ACCESS to anyone, WELCOME_DOMAIN to its name and
// WELCOME_DOMAIN_CERTIFICATE to requested. This also needs WELCOME_SIGN_IN_CLIENT_ID. For an apex domain such as
// example.com, also set WELCOME_DOMAIN_VALIDATION to HTTP. When the certificate is issued, set
// WELCOME_DOMAIN_CERTIFICATE to bound and deploy again. It has no default, because a deployment with requested removes
// the certificate from a bound domain.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var callers = readEnvironmentVariable('WELCOME_ACCESS', '')
var clientId = readEnvironmentVariable('WELCOME_SIGN_IN_CLIENT_ID', '')
var live = readEnvironmentVariable('LIVE', '')
var isOfAnotherApp = contains(['state-api', 'group-lister'], split(live, '--')[0])
var weight = readEnvironmentVariable('CANDIDATE_WEIGHT', '')
var domainName = readEnvironmentVariable('WELCOME_DOMAIN', '')
var validation = readEnvironmentVariable('WELCOME_DOMAIN_VALIDATION', '')
var certificate = readEnvironmentVariable('WELCOME_DOMAIN_CERTIFICATE', '')
var greeting = readEnvironmentVariable('WELCOME', '')
var built = readEnvironmentVariable('SERVICE_WELCOME_IMAGE_NAME', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param image = empty(built) ? '${readEnvironmentVariable('IMAGES', '')}/welcome:1.0.0' : built
param keyVaultName = readEnvironmentVariable('AZURE_KEY_VAULT_NAME')
param access = !empty(callers)
  ? { who: callers }
  : empty(address) ? { who: 'nobody' } : { who: 'addresses', ranges: ['${address}/32'] }
param scale = { min: 1, max: 3, concurrentRequests: 50 }
param candidate = empty(live) || isOfAnotherApp ? null : { live: live, weight: empty(weight) ? 0 : int(weight) }
param welcome = empty(greeting) ? null : greeting
param signIn = empty(clientId) ? null : { clientId: clientId }
param domain = empty(domainName)
  ? null
  : {
      name: domainName
      validation: empty(validation) ? 'CNAME' : validation
      certificate: empty(certificate)
        ? fail('WELCOME_DOMAIN_CERTIFICATE is missing. Set it to requested to add the domain, or to bound to serve it with the certificate.')
        : certificate
    }
