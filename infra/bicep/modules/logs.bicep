metadata name = 'Logs and traces'
metadata description = 'A Log Analytics workspace, and Application Insights on it.'

@description('Required. Name of the workspace.')
param workspaceName string

@description('Required. Name of Application Insights.')
param insightsName string

@description('Required. Where they are.')
param location string

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' = {
  name: workspaceName
  location: location
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: 30 // as long as it costs nothing
    features: { disableLocalAuth: true } // diagnostic settings write without the workspace's key
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: insightsName
  location: location
  kind: 'web'
  properties: { Application_Type: 'web', WorkspaceResourceId: workspace.id }
}
