metadata name = 'Container app'
metadata description = 'A service of the suite with its sidecar, probes, revisions and ingress.'

@description('Required. Name of the service; its Dapr app id, too.')
param name string

@description('Required. Where it runs.')
param location string

@description('Required. Container Apps environment, in this resource group.')
param environmentName string

@description('Required. Identity that the service runs as and pulls its image with, in this resource group.')
param identityName string

@description('Required. Registry of the image, in this resource group.')
param registryName string

@description('Required. What is deployed, and who gets it.')
param release Release

@description('Required. Environment variables of the service.')
param variables Variable[]

@description('Required. Who may call it from outside the environment.')
param access Access

@description('Required. How many replicas there are.')
param scale Scale

@description('Optional. Callers sign in with Entra ID first.')
param signIn SignIn?

@export()
@sealed()
type Release = {
  @description('Required. Image with its tag or digest.')
  image: string

  @description('Required. Suffix of the revision. Another one whenever anything of the app has changed.')
  @minLength(1)
  @maxLength(30)
  revision: string

  @description('Optional. Which revision has which label and which part of the traffic. Without it the newest has all.')
  @minLength(1)
  @maxLength(2)
  traffic: Share[]?

  @description('Optional. What GET / answers, of state-api and welcome.')
  @minLength(1)
  welcome: string?
}

@sealed()
type Share = {
  @description('Required. The revision answers at APP---LABEL.DOMAIN, whatever its weight.')
  label: 'blue' | 'green'

  @description('Required. Suffix of the revision.')
  revision: string

  @description('Required. Per cent of the traffic. All weights together are 100.')
  @minValue(0)
  @maxValue(100)
  weight: int
}

@sealed()
type Variable = { name: string, value: string }

@export()
@discriminator('who')
type Access = Nobody | Addresses | Anyone

@sealed()
type Nobody = {
  @description('Required. Only what runs in the environment.')
  who: 'nobody'
}

@sealed()
type Addresses = {
  @description('Required. Only the addresses listed.')
  who: 'addresses'

  @description('Required. Ranges in CIDR notation, a single address with /32.')
  @minLength(1)
  ranges: string[]
}

@sealed()
type Anyone = {
  @description('Required. Whoever knows the address.')
  who: 'anyone'
}

@export()
@sealed()
type Scale = {
  @description('Required. Replicas without any traffic; 0 costs nothing, and the first request waits.')
  @minValue(0)
  @maxValue(300)
  min: int

  @description('Required. Most replicas.')
  @minValue(1)
  @maxValue(300)
  max: int

  @description('Required. Requests under way at a replica that call for one more.')
  @minValue(1)
  concurrentRequests: int
}

@export()
@sealed()
type SignIn = {
  @description('Required. Client id of the app registration. It trusts the identity of the app by a federated credential.')
  @minLength(36)
  @maxLength(36)
  clientId: string
}

var port = 8080 // PORT of the images
var traffic = release.?traffic
var signInSecret = 'override-use-mi-fic-assertion-client-id' // what the platform calls it; it holds no secret

resource environment 'Microsoft.App/managedEnvironments@2026-07-01' existing = {
  name: environmentName
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource app 'Microsoft.App/containerApps@2026-07-01' = {
  name: name
  location: location
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: traffic == null ? 'Single' : 'Multiple'
      registries: [{ server: registry.properties.loginServer, identity: identity.id }]
      #disable-next-line use-secure-value-for-secure-inputs // a client id is no secret
      secrets: signIn == null ? [] : [{ name: signInSecret, value: identity.properties.clientId }]
      dapr: {
        enabled: true
        appId: name
        appPort: port
        appProtocol: 'http'
        logLevel: 'info' // says which components were loaded
        httpMaxRequestSize: 4 // MiB, and so much is read into memory
        httpReadBufferSize: 16 // KiB of headers
        maxConcurrency: 256
      }
      ingress: {
        external: access.who != 'nobody'
        targetPort: port
        transport: 'http'
        allowInsecure: false
        traffic: traffic == null
          ? [{ latestRevision: true, weight: 100 }]
          : map(traffic ?? [], share => {
              revisionName: '${name}--${share.revision}'
              label: share.label
              weight: share.weight
            })
        ipSecurityRestrictions: access.who != 'addresses'
          ? []
          : map(access.ranges, (range, index) => {
              name: 'allowed-${index}'
              action: 'Allow'
              ipAddressRange: range
            })
      }
    }
    template: {
      revisionSuffix: release.revision
      terminationGracePeriodSeconds: 30 // more than SHUTDOWN_TIMEOUT_MS
      containers: [
        {
          name: name
          image: release.image
          env: variables
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
          probes: [
            { type: 'Startup', httpGet: { path: '/healthz', port: port }, periodSeconds: 1, failureThreshold: 30 }
            { type: 'Liveness', httpGet: { path: '/healthz', port: port }, periodSeconds: 10, timeoutSeconds: 2 }
            { type: 'Readiness', httpGet: { path: '/readyz', port: port }, periodSeconds: 5, timeoutSeconds: 3 }
          ]
        }
      ]
      scale: {
        minReplicas: scale.min
        maxReplicas: scale.max
        rules: [{ name: 'http', http: { metadata: { concurrentRequests: '${scale.concurrentRequests}' } } }]
      }
    }
  }
}

resource auth 'Microsoft.App/containerApps/authConfigs@2026-07-01' = if (signIn != null) {
  parent: app
  name: 'current'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      unauthenticatedClientAction: 'RedirectToLoginPage'
      redirectToProvider: 'azureactivedirectory'
    }
    identityProviders: {
      azureActiveDirectory: {
        registration: {
          clientId: signIn.?clientId
          clientSecretSettingName: signInSecret
          openIdIssuer: '${az.environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
      }
    }
  }
}

@description('Where it answers.')
output url string = 'https://${app.properties.configuration.ingress.fqdn}'
