using '../../../infra/bicep/releaser.bicep'

// The identity that releases one app, without a check that reads logs.
param repository = 'repo:contoso/samples'
param groupName = 'rg-dapr-samples'
param apps = ['welcome']
