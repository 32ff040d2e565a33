metadata name = 'Container Apps environment'
metadata description = 'Runs the apps and their sidecars, and collects their logs and traces.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the environment.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Name of the Log Analytics workspace for logs, in this resource group.')
param workspaceName string

@description('Required. Name of the Application Insights resource for traces, in this resource group.')
param insightsName string

@description('Optional. Resource id of the subnet of the environment. Without it Azure provides the network.')
param subnetId string?

@description('Optional. Spreads the replicas of the apps over the availability zones of the region. Requires subnetId; Azure cannot change it later.')
param zoneRedundant bool = false

@description('Optional. Restricts the apps to callers in the virtual network. Requires subnetId.')
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
  tags: tags
  properties: {
    workloadProfiles: [{ name: 'Consumption', workloadProfileType: 'Consumption' }]
    appLogsConfiguration: { destination: 'azure-monitor' } // uses the diagnostic setting below; log-analytics would need a key
    appInsightsConfiguration: { connectionString: insights.properties.ConnectionString }
    openTelemetryConfiguration: {
      tracesConfiguration: { destinations: ['appInsights'], includeDapr: true }
      logsConfiguration: { destinations: ['appInsights'] }
    }
    vnetConfiguration: subnetId == null ? null : { infrastructureSubnetId: subnetId, internal: private }
    zoneRedundant: zoneRedundant
    // Encrypts the traffic between the ingress and the apps, and between apps; sidecars encrypt theirs without it.
    // https://learn.microsoft.com/azure/container-apps/ingress-environment-configuration#peer-to-peer-encryption
    peerTrafficConfiguration: { encryption: { enabled: true } }
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
  }
}

#disable-next-line use-recent-api-versions // no stable version supports categoryGroup
resource logging 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: environment
  name: 'logs'
  properties: {
    workspaceId: workspace.id
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
  }
}

@description('Default domain; the host names of the apps end with it.')
output domain string = environment.properties.defaultDomain

@description('Static IP address of the environment; private when the environment is private.')
output address string = environment.properties.staticIp
