metadata name = 'Cosmos DB for Dapr'
metadata description = 'The account, database and container that components/cosmos names, without keys.'

@description('Required. Name of the account, unique in Azure.')
@minLength(3)
@maxLength(44)
param accountName string

@description('Required. Object id of the identity that state-api runs as.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Optional. Where the account is.')
param location string = resourceGroup().location

// https://learn.microsoft.com/azure/cosmos-db/nosql/security/reference-data-plane-roles
var dataContributor = '00000000-0000-0000-0000-000000000002'

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: accountName
  location: location
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    disableLocalAuth: true
    minimalTlsVersion: 'Tls12'
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    locations: [{ locationName: location, failoverPriority: 0 }]
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: 'dapr-db'
  properties: { resource: { id: 'dapr-db' } }
}

resource container 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'statestore'
  properties: {
    resource: {
      id: 'statestore'
      partitionKey: { kind: 'Hash', paths: ['/partitionKey'] } // Dapr's, with exactly this case
      defaultTtl: -1 // entries live for ever unless they bring a TTL
    }
    options: { throughput: 400 }
  }
}

resource dataRole 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = {
  parent: account
  name: guid(container.id, principalId, dataContributor)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${account.id}/dbs/${database.name}/colls/${container.name}'
  }
}

@description('What the component calls url.')
output cosmosUrl string = account.properties.documentEndpoint
