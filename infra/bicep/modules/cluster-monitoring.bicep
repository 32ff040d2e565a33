metadata name = 'Monitoring of the AKS cluster'
metadata description = 'Container insights collects the logs of the containers and Kubernetes events, managed Prometheus collects metrics. Both sign in with managed identities.'

import { Monitoring } from 'cluster.bicep'
import { Tags } from 'tags.bicep'

@description('Required. Name of the AKS cluster, in this resource group.')
param clusterName string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Name of the Log Analytics workspace for the logs of the containers, in this resource group.')
param workspaceName string

@description('Required. What Azure Monitor collects.')
param monitoring Monitoring

// The preset "Logs and events", without metrics, which Prometheus collects.
// https://learn.microsoft.com/azure/azure-monitor/containers/container-insights-cost-config
var streams = ['Microsoft-ContainerLogV2', 'Microsoft-KubeEvents', 'Microsoft-KubePodInventory']
var prometheusStreams = ['Microsoft-PrometheusMetrics']

resource cluster 'Microsoft.ContainerService/managedClusters@2026-08-01' existing = {
  name: clusterName
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: workspaceName
}

// The names of the data source and of the association are those of `az aks enable-addons --addons monitoring`: the
// agent looks for them.
resource logRule 'Microsoft.Insights/dataCollectionRules@2024-03-11' = if (contains(monitoring, 'containerInsights')) {
  name: 'dcr-logs-${clusterName}'
  location: location
  tags: tags
  kind: 'Linux'
  properties: {
    dataSources: {
      extensions: [
        {
          name: 'ContainerInsightsExtension'
          extensionName: 'ContainerInsights'
          streams: streams
          extensionSettings: {
            dataCollectionSettings: { interval: '1m', namespaceFilteringMode: 'Off', enableContainerLogV2: true }
          }
        }
      ]
    }
    destinations: { logAnalytics: [{ name: 'workspace', workspaceResourceId: workspace.id }] }
    dataFlows: [{ streams: streams, destinations: ['workspace'] }]
  }
}

resource logs 'Microsoft.Insights/dataCollectionRuleAssociations@2024-03-11' = if (contains(
  monitoring,
  'containerInsights'
)) {
  scope: cluster
  name: 'ContainerInsightsExtension'
  properties: { dataCollectionRuleId: logRule.id }
}

resource metricWorkspace 'Microsoft.Monitor/accounts@2025-10-03' = if (contains(monitoring, 'prometheus')) {
  name: 'amw-${clusterName}'
  location: location
  tags: tags
}

resource metricEndpoint 'Microsoft.Insights/dataCollectionEndpoints@2024-03-11' = if (contains(monitoring, 'prometheus')) {
  name: 'dce-metrics-${clusterName}'
  location: location
  tags: tags
  kind: 'Linux'
  properties: {}
}

resource metricRule 'Microsoft.Insights/dataCollectionRules@2024-03-11' = if (contains(monitoring, 'prometheus')) {
  name: 'dcr-metrics-${clusterName}'
  location: location
  tags: tags
  kind: 'Linux'
  properties: {
    dataCollectionEndpointId: metricEndpoint.id
    dataSources: {
      prometheusForwarder: [{ name: 'PrometheusDataSource', streams: prometheusStreams, labelIncludeFilter: {} }]
    }
    destinations: { monitoringAccounts: [{ name: 'workspace', accountResourceId: metricWorkspace.id }] }
    dataFlows: [{ streams: prometheusStreams, destinations: ['workspace'] }]
  }
}

resource metrics 'Microsoft.Insights/dataCollectionRuleAssociations@2024-03-11' = if (contains(monitoring, 'prometheus')) {
  scope: cluster
  name: 'dcr-metrics'
  properties: { dataCollectionRuleId: metricRule.id }
}
