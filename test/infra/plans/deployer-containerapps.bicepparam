using '../../../infra/bicep/deployer.bicep'

// The identity that deploys to Container Apps.
param subject = 'repo:contoso/samples:environment:azure'
param host = 'containerapps'
