// repository repo:contoso/samples:ref:refs/heads/main is no beginning of a subject. Use repo:OWNER/REPOSITORY.
using '../../../infra/bicep/releaser.bicep'

param repository = 'repo:contoso/samples:ref:refs/heads/main'
param groupName = 'rg-dapr-samples'
param apps = ['welcome']
