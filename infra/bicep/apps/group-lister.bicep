metadata name = 'group-lister'
metadata description = 'Deploys group-lister to the Container Apps environment that main.bicep creates.'

import { Candidate, RestrictedAccess, Scale, directCalls } from '../modules/container-app.bicep'
import { appErrors } from '../validate.bicep'
import { Tags } from '../modules/tags.bicep'

@description('Required. Name of the deployment of main.bicep.')
param name string

@description('Optional. Azure region of the app, such as westeurope. Defaults to the region of the resource group.')
param location string = resourceGroup().location

@description('Optional. Tags of the app.')
param tags Tags = {}

@description('Required. Image reference with a tag or digest, such as REGISTRY.azurecr.io/group-lister:v1.')
param image string

@description('Required. Direct callers. nobody: only allowed apps, through the sidecar. addresses: these addresses, and every app in the environment.')
param access RestrictedAccess

@description('Required. Number of replicas, and the load that adds one.')
param scale Scale

@description('Optional. Keeps the traffic on the live revision while you test the new one.')
param candidate Candidate?

var app = 'group-lister'
var errors = appErrors(app, image, access, scale, candidate)

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: 'id-${app}'
}

resource live 'Microsoft.App/containerApps/revisions@2026-07-01' existing = if (candidate != null) {
  name: '${app}/${candidate.?live ?? 'none'}'
}

module groupLister '../modules/container-app.bicep' = {
  params: {
    name: app
    location: location
    tags: tags
    environmentName: 'cae-${name}'
    identityName: identity.name
    image: empty(errors) ? image : fail(join(errors, ' '))
    candidate: candidate
    isLiveActive: candidate == null ? true : live!.properties.active
    variables: concat(
      [
        { name: 'AZURE_CLIENT_ID', value: identity.properties.clientId }
        { name: 'AZURE_SUBSCRIPTION_ID', value: subscription().subscriptionId }
      ],
      directCalls(access)
    )
    access: access
    scale: scale
    identityUsers: 'Main'
  }
}

@description('URL of group-lister.')
output GROUP_LISTER_URL string = groupLister.outputs.url
