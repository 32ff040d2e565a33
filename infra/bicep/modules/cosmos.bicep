metadata name = 'Cosmos DB for Dapr'
metadata description = 'Account, database and container for the Dapr component statestore.'

import { Firewall } from 'firewall.bicep'
import { Tags } from 'tags.bicep'

@export()
@discriminator('mode')
type Capacity = Serverless | Manual | Autoscale

@sealed()
type Serverless = {
  @description('Required. Billed by request; an idle store costs nothing but storage.')
  mode: 'serverless'
}

@sealed()
type Manual = {
  @description('Required. Billed by the hour for a fixed throughput.')
  mode: 'manual'

  @description('Required. Throughput in request units per second: 400 or more, a multiple of 100.')
  @minValue(400)
  throughput: int
}

@sealed()
type Autoscale = {
  @description('Required. Billed by the hour for the highest throughput in that hour.')
  mode: 'autoscale'

  @description('Required. Maximum throughput in request units per second: 1000 or more, a multiple of 1000. The minimum is a tenth of it.')
  @minValue(1000)
  maxThroughput: int
}

@description('Required. Name of the account: 3 to 44 characters, globally unique.')
@minLength(3)
@maxLength(44)
param name string

@description('Required. Azure region of the account, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Billing mode and throughput.')
param capacity Capacity

@description('Required. Credential of the callers. identity: the principal gets a role, and the account rejects keys. key: the account accepts keys.')
param credential 'identity' | 'key'

@description('Required. Object id of the service principal that reads and writes items with its identity, a UUID.')
param principalId string

@description('Optional. Disabled: only private endpoints reach the items.')
param publicNetworkAccess 'Enabled' | 'Disabled' = 'Enabled'

@description('Optional. Callers that reach the items. Without it, every address can connect; requests need a role or a key.')
param firewall Firewall?

@description('Optional. Spreads the replicas over the availability zones of the region. A serverless account keeps the value it was created with.')
param zoneRedundant bool = false

@description('Optional. Name of the Log Analytics workspace for the audit log, in this resource group. Without it there is none.')
param workspaceName string?

// https://learn.microsoft.com/azure/cosmos-db/nosql/security/reference-data-plane-roles
var dataContributor = '00000000-0000-0000-0000-000000000002'

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = if (workspaceName != null) {
  name: workspaceName ?? 'none'
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2026-03-15' = {
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    disableLocalAuth: credential == 'identity'
    disableKeyBasedMetadataWriteAccess: true // keys can write items, but not change databases and containers
    publicNetworkAccess: publicNetworkAccess
    isVirtualNetworkFilterEnabled: firewall != null
    virtualNetworkRules: firewall == null ? [] : [{ id: firewall!.subnetId, ignoreMissingVNetServiceEndpoint: false }]
    ipRules: map(firewall.?addresses ?? [], address => { ipAddressOrRange: address })
    minimalTlsVersion: 'Tls12'
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: zoneRedundant }]
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
      partitionKey: { kind: 'Hash', paths: ['/partitionKey'] } // the path that Dapr requires; it is case-sensitive
      defaultTtl: -1 // TTL is on: an item expires only if it has a TTL of its own
    }
    options: capacity.mode == 'manual'
      ? { throughput: capacity.throughput }
      : capacity.mode == 'autoscale' ? { autoscaleSettings: { maxThroughput: capacity.maxThroughput } } : {}
  }
}

resource dataRole 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2026-03-15' = if (credential == 'identity') {
  parent: account
  name: guid(container.id, principalId, dataContributor)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${account.id}/dbs/${database.name}/colls/${container.name}'
  }
}

// Not DataPlaneRequests and QueryRuntimeStatistics: they add a row, billed by size, for each request to the store.
#disable-next-line use-recent-api-versions // no stable version supports these log categories
resource logging 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (workspaceName != null) {
  scope: account
  name: 'logs'
  properties: {
    workspaceId: workspace.id
    logAnalyticsDestinationType: 'Dedicated' // tables of Cosmos DB, such as CDBControlPlaneRequests; a query reads less
    logs: [{ category: 'ControlPlaneRequests', enabled: true }] // changes of settings, keys and roles
  }
}

@description('Endpoint of the account; the setting url of the component.')
output url string = account.properties.documentEndpoint
