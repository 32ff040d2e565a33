metadata name = 'Container registry'
metadata description = 'Stores the images. The admin user is disabled; identities need the AcrPull role: registry-puller.bicep.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the registry: 5 to 50 letters and digits, globally unique.')
@minLength(5)
@maxLength(50)
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Optional. Disabled: only private endpoints reach the images, which needs the Premium tier.')
param publicNetworkAccess 'Enabled' | 'Disabled' = 'Enabled'

@description('Optional. Name of the Log Analytics workspace for the audit log, in this resource group. Without it there is none.')
param workspaceName string?

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = if (workspaceName != null) {
  name: workspaceName ?? 'none'
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: publicNetworkAccess == 'Disabled' ? 'Premium' : 'Basic' }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    publicNetworkAccess: publicNetworkAccess
  }
}

#disable-next-line use-recent-api-versions // no stable version supports categoryGroup
resource logging 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (workspaceName != null) {
  scope: registry
  name: 'logs'
  properties: {
    workspaceId: workspace.id
    logs: [{ categoryGroup: 'audit', enabled: true }] // pushes, pulls, deletions and sign-ins
  }
}

@description('Host name of the registry; image references start with it.')
output server string = registry.properties.loginServer
