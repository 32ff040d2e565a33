metadata name = 'Container Apps environment'
metadata description = 'Where the apps and their sidecars run, with logs and traces.'

@description('Required. Name of the environment.')
param name string

@description('Required. Where it is.')
param location string

@description('Required. Log Analytics workspace for the logs, in this resource group.')
param workspaceName string

@description('Required. Application Insights for the traces, in this resource group.')
param insightsName string

@description('Optional. Subnet that the environment is in.')
param subnetId string?

@description('Optional. Whether only the virtual network reaches what is in it.')
param private bool = false

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: workspaceName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource environment 'Microsoft.App/managedEnvironments@2026-07-01' = {
  name: name
  location: location
  properties: {
    workloadProfiles: [{ name: 'Consumption', workloadProfileType: 'Consumption' }]
    appLogsConfiguration: { destination: 'azure-monitor' } // the diagnostic setting below; log-analytics would need a key
    appInsightsConfiguration: { connectionString: insights.properties.ConnectionString }
    openTelemetryConfiguration: {
      tracesConfiguration: { destinations: ['appInsights'], includeDapr: true }
      logsConfiguration: { destinations: ['appInsights'] }
    }
    vnetConfiguration: subnetId == null ? null : { infrastructureSubnetId: subnetId, internal: private }
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
  }
}

#disable-next-line use-recent-api-versions // no stable version has categoryGroup
resource logging 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: environment
  name: 'logs'
  properties: {
    workspaceId: workspace.id
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
  }
}

@description('What the addresses of its apps end with.')
output domain string = environment.properties.defaultDomain

@description('Its address; in the network, if it is private.')
output address string = environment.properties.staticIp
