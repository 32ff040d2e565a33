metadata name = 'Storage Queue Data Reader role'
metadata description = 'Lets an identity count and read the messages of one queue of Azure Storage, but not remove them.'

@description('Required. Name of the storage account, in this resource group.')
param accountName string

@description('Required. Name of the queue.')
param queueName string

@description('Required. Object id of the service principal of the identity, a UUID.')
param principalId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage#storage-queue-data-reader
var queueReader = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '19e7f393-937e-4f77-808e-94535e297925'
)

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2026-06-01' existing = {
  name: '${accountName}/default/${queueName}'
}

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: queue
  name: guid(queue.id, principalId, queueReader)
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: queueReader }
}
