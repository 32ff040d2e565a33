using '../../../infra/bicep/releaser.bicep'

// The identity that releases two apps, and reads their logs in another resource group.
param repository = 'repo:contoso/samples'
param groupName = 'rg-dapr-samples'
param apps = ['welcome', 'state-api']
param workspaceId = '/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-logs/providers/Microsoft.OperationalInsights/workspaces/log-contoso'
