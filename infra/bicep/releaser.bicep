metadata name = 'Releaser for GitHub'
metadata description = 'The identity with which .github/workflows/release.yml releases. Only jobs of three GitHub environments can sign in as it. It changes the listed apps and nothing else, but an app runs any image that it names, with the identity of the app: what an app can do, the releaser can do.'

targetScope = 'subscription'

@description('Required. Beginning of the subjects of the tokens of the repository, such as repo:OWNER/REPOSITORY.')
param repository string

@description('Required. Name of the resource group of the apps.')
param groupName string

@description('Required. Names of the container apps that it releases.')
@minLength(1)
param apps string[]

@description('Optional. Resource id of the Log Analytics workspace of the apps. With it, the identity reads the table ContainerAppHTTPLogs there, also the rows of other apps. Only checks with the source httpLogs need it.')
param workspaceId string?

@description('Optional. Azure region of the identity. Defaults to the region of the deployment.')
param location string = deployment().location

// repo:OWNER/REPOSITORY:ref:refs/heads/main would let jobs without an environment sign in.
var trusted = length(split(repository, ':')) == 2 && startsWith(repository, 'repo:')
  ? repository
  : fail('repository ${repository} is no beginning of a subject. Use repo:OWNER/REPOSITORY.')

var workspace = split(workspaceId ?? '', '/')

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-releaser'
  location: location
}

module identity 'modules/releaser-identity.bicep' = {
  scope: group
  params: {
    name: 'id-releaser'
    location: location
    // The jobs of release.yml: start a release, promote one, and take over or abort one.
    subjects: map(['release', 'release-approval', 'release-watchdog'], environment => {
      name: environment
      subject: '${trusted}:environment:${environment}'
    })
  }
}

module release 'modules/app-releaser.bicep' = {
  scope: resourceGroup(groupName)
  params: { apps: apps, principalId: identity.outputs.principalId }
}

module operations 'modules/operation-reader.bicep' = {
  params: { principalId: identity.outputs.principalId }
}

module logs 'modules/http-log-reader.bicep' = if (workspaceId != null) {
  scope: resourceGroup(workspace[2], workspace[4])
  params: { workspaceName: last(workspace), principalId: identity.outputs.principalId }
}

@description('Client id of the identity.')
output AZURE_CLIENT_ID string = identity.outputs.clientId

@description('Microsoft Entra tenant of the identity.')
output AZURE_TENANT_ID string = tenant().tenantId
