metadata name = 'welcome'
metadata description = 'Deploys welcome to the Container Apps environment that main.bicep creates.'

import { Access, Candidate, Domain, Scale, SignIn } from '../modules/container-app.bicep'
import { appErrors, domainErrors, signInErrors } from '../validate.bicep'
import { Tags } from '../modules/tags.bicep'

@description('Required. Name of the deployment of main.bicep.')
param name string

@description('Optional. Azure region of the app, such as westeurope. Defaults to the region of the resource group.')
param location string = resourceGroup().location

@description('Optional. Tags of the app.')
param tags Tags = {}

@description('Required. Image reference with a tag or digest, such as REGISTRY.azurecr.io/welcome:v1.')
param image string

@description('Required. Name of the Key Vault that contains demosecret; the output AZURE_KEY_VAULT_NAME of main.bicep.')
param keyVaultName string

@description('Required. Callers outside the environment that can reach the app.')
param access Access

@description('Required. Number of replicas, and the load that adds one.')
param scale Scale

@description('Optional. Keeps the traffic on the live revision while you test the new one.')
param candidate Candidate?

@description('Optional. Greeting that GET / returns.')
param welcome string?

@description('Optional. Requires callers to sign in with Microsoft Entra ID: docs/operate/sign-in.md.')
param signIn SignIn?

@description('Optional. Domain of your own for welcome. First deploy without it and add the DNS records that the outputs WELCOME_CNAME or WELCOME_A, and WELCOME_TXT contain.')
param domain Domain?

var app = 'welcome'
var errors = concat(
  appErrors(app, image, access, scale, candidate),
  signInErrors(access, signIn),
  domainErrors(domain, access)
)

// Of the cloud: https://login.microsoftonline.com, without the slash that loginEndpoint ends with.
var authority = 'https://${split(environment().authentication.loginEndpoint, '/')[2]}'
var tenantId = tenant().tenantId

// Paths that welcome serves without a token: the page, which signs callers in, and others that reveal no secret.
var publicPaths = [
  '/'
  '/api/sign-in'
  '/api/version'
  '/healthz'
  '/icon.svg'
  '/msal-browser.js'
  '/openapi.json'
  '/page.js'
  '/readyz'
  '/sign-in.js'
  '/style.css'
]

resource live 'Microsoft.App/containerApps/revisions@2026-07-01' existing = if (candidate != null) {
  name: '${app}/${candidate.?live ?? 'none'}'
}

resource appEnvironment 'Microsoft.App/managedEnvironments@2026-07-01' existing = if (domain != null) {
  name: 'cae-${name}'
}

module welcomeApp '../modules/container-app.bicep' = {
  params: {
    name: app
    location: location
    tags: tags
    environmentName: 'cae-${name}'
    identityName: 'id-${app}'
    image: empty(errors) ? image : fail(join(errors, ' '))
    candidate: candidate
    isLiveActive: candidate == null ? true : live!.properties.active
    variables: concat(
      signIn == null
        ? [{ name: 'DIRECT_CALLS', value: 'anywhere' }] // access restricts the callers
        : [
            { name: 'SIGN_IN_CLIENT_ID', value: signIn!.clientId }
            { name: 'SIGN_IN_TENANT_ID', value: tenantId }
            { name: 'SIGN_IN_AUTHORITY', value: authority }
          ],
      welcome == null ? [] : [{ name: 'WELCOME', value: welcome! }]
    )
    access: access
    scale: scale
    domain: domain
    isPrivate: domain == null ? false : appEnvironment!.properties.publicNetworkAccess == 'Disabled'
    identityUsers: 'None' // the platform reads the secret
    secret: {
      name: 'demosecret'
      url: 'https://${keyVaultName}${environment().suffixes.keyvaultDns}/secrets/demosecret'
      mountPath: '/mnt/secret-store' // folder of SECRET_FILE
    }
  }
}

// welcome checks the bearer token of each request. With this resource, the platform checks it, too, in a sidecar of each
// replica, and needs no client secret for that:
// https://learn.microsoft.com/azure/container-apps/authentication-entra#daemon-client-application-service-to-service-calls
// Microsoft documents excludedPaths, but not how paths match: if / also matches the paths below it, the platform checks
// nothing. The settings are of the app and not of a revision, so they also cover the labels:
// https://learn.microsoft.com/azure/container-apps/revisions#application-scope-changes
// The resource exists without sign-in, too: a deployment deletes nothing, so a check that was on would stay on.
resource platformCheck 'Microsoft.App/containerApps/authConfigs@2026-07-01' = {
  name: '${app}/current'
  properties: {
    platform: { enabled: signIn != null }
    globalValidation: { unauthenticatedClientAction: 'Return401', excludedPaths: publicPaths }
    identityProviders: signIn == null
      ? {}
      : {
          azureActiveDirectory: {
            enabled: true
            registration: { clientId: signIn!.clientId, openIdIssuer: '${authority}/${tenantId}/v2.0' }
            validation: { allowedAudiences: [signIn!.clientId] }
          }
        }
    login: { tokenStore: { enabled: false } }
  }
  dependsOn: [welcomeApp]
}

@description('URL of welcome.')
output WELCOME_URL string = welcomeApp.outputs.url

@description('Value of the CNAME record of domain, for a subdomain.')
output WELCOME_CNAME string = welcomeApp.outputs.hostName

@description('Value of the A record of domain, for an apex domain.')
output WELCOME_A string = welcomeApp.outputs.address

@description('Value of the TXT record asuid.DOMAIN of domain.')
output WELCOME_TXT string = welcomeApp.outputs.verificationId
