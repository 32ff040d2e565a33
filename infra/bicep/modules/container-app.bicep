metadata name = 'Container app'
metadata description = 'One service of the suite, with its sidecar, probes, revisions and ingress.'

import { Tags } from 'tags.bicep'

@export()
@sealed()
type Candidate = {
  // In the original walkthrough of blue-green releases, green is live and blue is the preview.
  @description('Required. Name of the revision that keeps the traffic, such as welcome--0000001. It gets the label blue.')
  @minLength(1)
  live: string

  @description('Required. Percentage of the traffic for the new revision: 0 to 100. With 0, only its label, green, reaches it.')
  @minValue(0)
  @maxValue(100)
  weight: int
}

@export()
@sealed()
type Variable = { name: string, value: string }

@export()
@discriminator('who')
type Access = Nobody | Addresses | Anyone

@export()
@discriminator('who')
type RestrictedAccess = Nobody | Addresses

@sealed()
type Nobody = {
  @description('Required. Only apps in the same environment can call.')
  who: 'nobody'
}

@sealed()
type Addresses = {
  @description('Required. Only the listed addresses can call.')
  who: 'addresses'

  @description('Required. Address ranges in CIDR notation; a single address ends in /32.')
  @minLength(1)
  ranges: string[]
}

@sealed()
type Anyone = {
  @description('Required. Any address can call. Requires signIn.')
  who: 'anyone'
}

@export()
@sealed()
type Scale = {
  @description('Required. Minimum number of replicas: 0 to 1000. With 0, an idle app costs nothing and the next request waits for a start.')
  @minValue(0)
  @maxValue(1000)
  min: int

  @description('Required. Maximum number of replicas: 1 to 1000, not less than min.')
  @minValue(1)
  @maxValue(1000)
  max: int

  @description('Required. Concurrent requests for each replica; the platform adds a replica above this number.')
  @minValue(1)
  concurrentRequests: int

  @description('Optional. Other loads that add a replica. The rule that asks for most replicas decides.')
  rules: ScaleRule[]?
}

@discriminator('on')
type ScaleRule = CpuRule | QueueRule | CustomRule

@sealed()
type CpuRule = {
  @description('Required. CPU use. Requires scale.min of 1 or more, because an app without replicas uses no CPU.')
  on: 'cpu'

  @description('Required. Average CPU use of the replicas in percent; the platform adds a replica above it.')
  @minValue(1)
  @maxValue(100)
  utilization: int
}

@sealed()
type QueueRule = {
  @description('Required. Messages in a queue of Azure Storage. A managed identity that only this rule uses reads the queue.')
  on: 'queue'

  @description('Required. Resource id of the queue, which exists: STORAGE-ACCOUNT-ID/queueServices/default/queues/QUEUE. You need the right to assign roles on it.')
  queueId: string

  @description('Required. Messages for each replica; the platform adds a replica above this number.')
  @minValue(1)
  messages: int
}

@sealed()
type CustomRule = {
  @description('Required. A scaler of KEDA that needs no sign-in, such as cron.')
  on: 'custom'

  @description('Required. Type of the scaler: https://keda.sh/docs/latest/scalers.')
  @minLength(1)
  scaler: string

  @description('Required. Metadata of the scaler, such as timezone, start, end and desiredReplicas of cron.')
  metadata: { *: string }
}

@export()
@sealed()
type SignIn = {
  @description('Required. Client id of the app registration in the tenant of the deployment, a UUID. The page of welcome signs callers in with it, so it needs no client secret.')
  @minLength(36)
  @maxLength(36)
  clientId: string
}

@export()
@description('Returns the variable that lets state-api or group-lister answer direct calls: of the addresses, and of every app in the environment. Without it, they answer only their own sidecars.')
func directCalls(access RestrictedAccess) Variable[] =>
  access.who == 'addresses' ? [{ name: 'DIRECT_CALLS', value: 'anywhere' }] : []

@export()
@sealed()
type Domain = {
  @description('Required. Domain name, such as welcome.example.com, in a public environment. Its DNS records must exist before the deployment that sets it.')
  name: string

  @description('Required. How the certificate authority checks the domain. CNAME: a subdomain with a CNAME record. HTTP: an apex domain with an A record.')
  validation: 'CNAME' | 'HTTP'

  @description('Required. requested: adds the domain and requests a certificate. bound: serves the domain with the certificate that an earlier deployment requested, once it is issued.')
  certificate: 'requested' | 'bound'
}

@export()
@sealed()
type Secret = {
  @description('Required. Name of the secret, and of its file.')
  name: string

  @description('Required. URL of the secret without a version, so that a new version reaches the app within 30 minutes.')
  url: string

  @description('Required. Folder of the file.')
  mountPath: string
}

@description('Required. Name of the service; also its Dapr app id.')
param name string

@description('Required. Azure region of the app, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Name of the Container Apps environment, in this resource group.')
param environmentName string

@description('Required. Name of the managed identity of the service, in this resource group.')
param identityName string

@description('Required. Image reference with a tag or digest, such as REGISTRY.azurecr.io/welcome:v1. The identity id-pull pulls it from an Azure container registry; another registry must serve it to anyone.')
param image string

@description('Optional. Keeps the traffic on the live revision while you test the new one. Without it the new revision receives all traffic as soon as it is ready.')
param candidate Candidate?

@description('Required. true: the revision candidate.live is active. Without candidate it has no effect.')
param isLiveActive bool

@description('Required. Environment variables of the service.')
param variables Variable[]

@description('Required. Callers outside the environment that can reach the app.')
param access Access

@description('Required. Number of replicas, and the load that adds one.')
param scale Scale

@description('Optional. Domain of your own for the app, with a certificate that Azure issues and renews. Requires access anyone.')
param domain Domain?

@description('Optional. true: the environment is private, where domain is not possible.')
param isPrivate bool = false

@description('Required. Containers that can get tokens of the identity of the service. Main: that of the service. All: sidecars, too. None: only the platform uses it, to read secrets.')
param identityUsers 'All' | 'Main' | 'None'

@description('Optional. Key Vault secret to mount as a file. The identity reads it.')
param secret Secret?

var certificateName = replace(domain.?name ?? 'none', '.', '-')
// Not certificate.id, because certificate waits for app.
var certificateId = resourceId(
  'Microsoft.App/managedEnvironments/managedCertificates',
  environmentName,
  certificateName
)
var port = 8080 // PORT in the images
var server = split(image, '/')[0]

var rules = scale.?rules ?? []
var queueIds = map(filter(rules, rule => rule.on == 'queue'), rule => rule.?queueId ?? '')

resource environment 'Microsoft.App/managedEnvironments@2026-07-01' existing = {
  name: environmentName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource pullIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: 'id-pull'
}

// Of the rules alone: no container gets its tokens, so that the service itself cannot read the queues.
resource scaler 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = if (!empty(queueIds)) {
  name: 'id-${name}-scaler'
  location: location
  tags: tags
}

module queueReaders 'queue-reader.bicep' = [
  for queueId in union(queueIds, []): {
    scope: resourceGroup(split(queueId, '/')[?2] ?? 'none', split(queueId, '/')[?4] ?? 'none')
    params: {
      accountName: split(queueId, '/')[?8] ?? 'none'
      queueName: last(split(queueId, '/'))
      principalId: scaler!.properties.principalId
    }
  }
]

// An array or object of an app must not contain a property of another resource: the preflight of Azure does not read
// resources, so it would compare an expression, a string, with the schema: https://github.com/Azure/bicep/issues/7836,
// https://github.com/microsoft/azure-container-apps/issues/391. The caller passes such properties as parameters, and
// the preflight then leaves out this module.
resource app 'Microsoft.App/containerApps@2026-07-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': name }) // azd finds the app by this tag
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: union(
      { '${identity.id}': {}, '${pullIdentity.id}': {} },
      empty(queueIds) ? {} : { '${scaler.id}': {} }
    )
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      // Single waits until the new revision is ready, moves the traffic, and deactivates the old revision.
      activeRevisionsMode: candidate == null ? 'Single' : 'Multiple'
      // No container gets tokens of the identity that pulls images, so code in a container cannot read other images.
      // https://learn.microsoft.com/azure/container-apps/managed-identity#control-managed-identity-availability
      identitySettings: concat(
        [
          { identity: identity.id, lifecycle: identityUsers }
          { identity: pullIdentity.id, lifecycle: 'None' }
        ],
        empty(queueIds) ? [] : [{ identity: scaler.id, lifecycle: 'None' }]
      )
      registries: contains(server, '.azurecr.') ? [{ server: server, identity: pullIdentity.id }] : []
      secrets: secret == null ? [] : [{ name: secret!.name, keyVaultUrl: secret!.url, identity: identity.id }]
      dapr: {
        enabled: true
        appId: name
        appPort: port
        appProtocol: 'http'
        logLevel: 'info' // logs the components that the sidecar loads
        httpMaxRequestSize: 4 // MiB; the sidecar buffers requests up to this size
        httpReadBufferSize: 16 // KiB of headers
        maxConcurrency: 256
      }
      ingress: {
        external: access.who != 'nobody'
        targetPort: port
        transport: 'http'
        allowInsecure: false
        traffic: candidate == null
          ? [{ latestRevision: true, weight: 100 }]
          : [
              {
                // Azure accepts an inactive revision, whose share of the requests then fails:
                // https://github.com/microsoft/azure-container-apps/issues/1345
                revisionName: isLiveActive
                  ? candidate!.live
                  : fail('candidate.live ${candidate!.live} is inactive. Use an active revision: az containerapp revision list --name ${name} --resource-group ${resourceGroup().name} --output table')
                label: 'blue'
                weight: 100 - candidate!.weight
              }
              { latestRevision: true, label: 'green', weight: candidate!.weight }
            ]
        // Azure issues a certificate only for a domain of an app, and binds only an issued certificate. Auto, which does
        // both, makes every later change fail: https://github.com/microsoft/azure-container-apps/issues/1652
        customDomains: domain == null
          ? []
          : [
              union(
                {
                  name: isPrivate
                    ? fail('domain ${domain!.name} is not possible: the environment ${environmentName} is private, and the certificate authority cannot reach it. Remove domain.')
                    : domain!.name
                },
                domain!.certificate == 'bound'
                  ? { bindingType: 'SniEnabled', certificateId: certificateId }
                  : { bindingType: 'Disabled' }
              )
            ]
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
      // Without a suffix, Azure names each revision, so that no name was used before.
      terminationGracePeriodSeconds: 30 // longer than SHUTDOWN_TIMEOUT_MS
      containers: [
        {
          name: name
          image: image
          env: variables
          volumeMounts: secret == null ? [] : [{ volumeName: 'secret', mountPath: secret!.mountPath }]
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
          probes: [
            { type: 'Startup', httpGet: { path: '/healthz', port: port }, periodSeconds: 1, failureThreshold: 30 }
            { type: 'Liveness', httpGet: { path: '/healthz', port: port }, periodSeconds: 10, timeoutSeconds: 2 }
            { type: 'Readiness', httpGet: { path: '/readyz', port: port }, periodSeconds: 5, timeoutSeconds: 3 }
          ]
        }
      ]
      volumes: secret == null
        ? []
        : [{ name: 'secret', storageType: 'Secret', secrets: [{ secretRef: secret!.name, path: secret!.name }] }]
      scale: {
        minReplicas: scale.min
        maxReplicas: scale.max
        // https://learn.microsoft.com/azure/container-apps/scale-app
        // https://learn.microsoft.com/azure/container-apps/managed-identity#scale-rules
        rules: concat(
          [{ name: 'http', http: { metadata: { concurrentRequests: '${scale.concurrentRequests}' } } }],
          map(
            rules,
            (rule, index) =>
              rule.on == 'queue'
                ? {
                    name: 'queue-${index}'
                    azureQueue: {
                      accountName: split(rule.?queueId ?? '', '/')[?8]
                      queueName: last(split(rule.?queueId ?? '', '/'))
                      queueLength: rule.?messages
                      identity: scaler.id
                    }
                  }
                : {
                    name: '${rule.on}-${index}'
                    custom: {
                      type: rule.?scaler ?? 'cpu'
                      metadata: rule.?metadata ?? { type: 'Utilization', value: '${rule.?utilization}' }
                    }
                  }
          )
        )
      }
    }
  }
}

// https://learn.microsoft.com/azure/container-apps/custom-domains-managed-certificates
resource certificate 'Microsoft.App/managedEnvironments/managedCertificates@2026-07-01' = if (domain.?certificate == 'requested') {
  parent: environment
  name: certificateName
  location: location
  tags: tags
  properties: { subjectName: domain.?name, domainControlValidation: domain.?validation }
  dependsOn: [app]
}

@description('URL of the app, with the domain once it is bound to its certificate.')
output url string = 'https://${domain.?certificate == 'bound' ? domain!.name : app.properties.configuration.ingress.fqdn}'

@description('Host name that Azure gives the app; the value of the CNAME record of a domain of your own.')
output hostName string = app.properties.configuration.ingress.fqdn

@description('Address of the environment; the value of the A record of an apex domain of your own.')
output address string = environment.properties.staticIp

@description('Value of the TXT record asuid.DOMAIN, which proves that you own a domain.')
output verificationId string = app.properties.customDomainVerificationId
