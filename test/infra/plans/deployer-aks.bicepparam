using '../../../infra/bicep/deployer.bicep'

// The identity that deploys to AKS.
param subject = 'repo:contoso/samples:environment:azure'
param host = 'aks'
