// scale.rules has a queueId that is not the resource id of a queue. Use ACCOUNT-ID/queueServices/default/queues/QUEUE, with ACCOUNT-ID from: az storage account show --query id
using '../../../infra/bicep/apps/state-api.bicep'

param name = 'refused'
param image = 'registry.azurecr.io/state-api:v1'
param access = { who: 'nobody' }
param scale = { min: 1, max: 3, concurrentRequests: 50, rules: [{ on: 'queue', queueId: 'orders', messages: 20 }] }
