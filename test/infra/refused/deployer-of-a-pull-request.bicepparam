// subject repo:contoso/samples:pull_request names no environment. Use repo:OWNER/REPOSITORY:environment:azure.
using '../../../infra/bicep/deployer.bicep'

param subject = 'repo:contoso/samples:pull_request'
param host = 'aks'
