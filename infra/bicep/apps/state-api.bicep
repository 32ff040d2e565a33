metadata name = 'state-api'
metadata description = 'Deploys state-api to the Container Apps environment that main.bicep creates.'

import { Candidate, RestrictedAccess, Scale, directCalls } from '../modules/container-app.bicep'
import { appErrors } from '../validate.bicep'
import { Tags } from '../modules/tags.bicep'

@description('Required. Name of the deployment of main.bicep.')
param name string

@description('Optional. Azure region of the app, such as westeurope. Defaults to the region of the resource group.')
param location string = resourceGroup().location

@description('Optional. Tags of the app.')
param tags Tags = {}

@description('Required. Image reference with a tag or digest, such as REGISTRY.azurecr.io/state-api:v1.')
param image string

@description('Required. Direct callers. nobody: only allowed apps, through the sidecar. addresses: these addresses, and every app in the environment.')
param access RestrictedAccess

@description('Required. Number of replicas, and the load that adds one.')
param scale Scale

@description('Optional. Keeps the traffic on the live revision while you test the new one.')
param candidate Candidate?

@description('Optional. Greeting that GET / returns.')
param welcome string?

var app = 'state-api'
var errors = appErrors(app, image, access, scale, candidate)

resource live 'Microsoft.App/containerApps/revisions@2026-07-01' existing = if (candidate != null) {
  name: '${app}/${candidate.?live ?? 'none'}'
}

module stateApi '../modules/container-app.bicep' = {
  params: {
    name: app
    location: location
    tags: tags
    environmentName: 'cae-${name}'
    identityName: 'id-${app}'
    image: empty(errors) ? image : fail(join(errors, ' '))
    candidate: candidate
    isLiveActive: candidate == null ? true : live!.properties.active
    variables: concat(
      [{ name: 'STATESTORE_NAME', value: 'statestore' }],
      directCalls(access),
      welcome == null ? [] : [{ name: 'WELCOME', value: welcome! }]
    )
    access: access
    scale: scale
    identityUsers: 'All' // the sidecar signs in to Cosmos DB
  }
}

@description('URL of state-api.')
output STATE_API_URL string = stateApi.outputs.url
