metadata name = 'Dashboard'
metadata description = 'A dashboard with metrics in the Azure portal. `azd monitor` opens it.'

import { Tags } from 'tags.bicep'

@description('A chart of one metric of one resource.')
type Chart = {
  @description('Required. Title of the chart.')
  title: string

  @description('Required. Name of the metric, from the list of Azure Monitor.')
  metric: string

  @description('Required. How the chart combines the values of an interval.')
  aggregation: 'sum' | 'average' | 'count'
}

@description('Required. Name of the dashboard.')
@minLength(3)
param name string

@description('Required. Azure region of the dashboard, such as westeurope.')
param location string

@description('Required. Tags of the dashboard.')
param tags Tags

@description('Required. Id of the resource that has the metrics.')
param resourceId string

@description('Required. Charts, from left to right.')
param charts Chart[]

var aggregations = { sum: 1, average: 4, count: 7 }

resource dashboard 'Microsoft.Portal/dashboards@2025-04-01-preview' = {
  name: name
  location: location
  tags: union(tags, { 'hidden-title': name }) // the portal shows this title
  properties: {
    lenses: [
      {
        order: 0
        parts: [
          for (chart, index) in charts: {
            position: { x: index * 6, y: 0, colSpan: 6, rowSpan: 4 }
            metadata: {
              #disable-next-line BCP036 // the type of the resource lists only the Markdown part
              type: 'Extension/HubsExtension/PartType/MonitorChartPart'
              inputs: []
              settings: {
                content: any({
                  options: {
                    chart: {
                      title: chart.title
                      titleKind: 2
                      metrics: [
                        {
                          resourceMetadata: { id: resourceId }
                          name: chart.metric
                          aggregationType: aggregations[chart.aggregation]
                        }
                      ]
                    }
                  }
                })
              }
            }
          }
        ]
      }
    ]
  }
}
