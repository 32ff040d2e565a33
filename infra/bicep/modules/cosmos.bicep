metadata name = 'Cosmos DB for Dapr'
metadata description = 'The account, database and container that the component statestore names.'

@description('Required. Name of the account, unique in Azure.')
@minLength(3)
@maxLength(44)
param name string

@description('Required. Where the account is.')
param location string

@description('Required. How it is paid for.')
param capacity Capacity

@description('Optional. Identity that reads and writes entries, in this resource group. Without one the account has keys.')
param identityName string?

@export()
@discriminator('mode')
type Capacity = Serverless | Manual | Autoscale

@sealed()
type Serverless = {
  @description('Required. By request: nothing for an idle store.')
  mode: 'serverless'
}

@sealed()
type Manual = {
  @description('Required. By the hour, for a fixed throughput.')
  mode: 'manual'

  @description('Required. Request units per second, in hundreds.')
  @minValue(400)
  throughput: int
}

@sealed()
type Autoscale = {
  @description('Required. By the hour, for the highest throughput of that hour.')
  mode: 'autoscale'

  @description('Required. Most request units per second, in thousands; the least is a tenth.')
  @minValue(1000)
  maxThroughput: int
}

// https://learn.microsoft.com/azure/cosmos-db/nosql/security/reference-data-plane-roles
var dataContributor = '00000000-0000-0000-0000-000000000002'

resource account 'Microsoft.DocumentDB/databaseAccounts@2026-03-15' = {
  name: name
  location: location
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    disableLocalAuth: identityName != null
    disableKeyBasedMetadataWriteAccess: true // a key may write entries, but not databases and containers
    minimalTlsVersion: 'Tls12'
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    locations: [{ locationName: location, failoverPriority: 0 }]
    capabilities: capacity.mode == 'serverless' ? [{ name: 'EnableServerless' }] : []
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2026-03-15' = {
  parent: account
  name: 'dapr-db'
  properties: { resource: { id: 'dapr-db' } }
}

resource container 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2026-03-15' = {
  parent: database
  name: 'statestore'
  properties: {
    resource: {
      id: 'statestore'
      partitionKey: { kind: 'Hash', paths: ['/partitionKey'] } // Dapr's, with exactly this case
      defaultTtl: -1 // entries live for ever unless they bring a TTL
    }
    options: capacity.mode == 'manual'
      ? { throughput: capacity.throughput }
      : capacity.mode == 'autoscale' ? { autoscaleSettings: { maxThroughput: capacity.maxThroughput } } : {}
  }
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = if (identityName != null) {
  name: identityName ?? ''
}

resource dataRole 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2026-03-15' = if (identityName != null) {
  parent: account
  name: guid(container.id, identity.id, dataContributor)
  properties: {
    principalId: identity!.properties.principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${account.id}/dbs/${database.name}/colls/${container.name}'
  }
}

@description('What the component calls url.')
output url string = account.properties.documentEndpoint
