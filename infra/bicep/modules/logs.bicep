metadata name = 'Logs and traces'
metadata description = 'A Log Analytics workspace and, for Container Apps, an Application Insights resource that stores its data there.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the Log Analytics workspace.')
param workspaceName string

@description('Optional. Name of the Application Insights resource. Without it, the template creates none.')
param insightsName string?

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: 30 // days; included in the price of ingestion
    // Only retired agents and the Data Collector API need the workspace key. Application Insights has its own setting:
    // https://learn.microsoft.com/azure/azure-monitor/logs/azure-ad-authentication-logs
    features: { disableLocalAuth: true }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = if (insightsName != null) {
  name: insightsName ?? 'none'
  location: location
  tags: tags
  kind: 'web'
  properties: { Application_Type: 'web', WorkspaceResourceId: workspace.id }
}
