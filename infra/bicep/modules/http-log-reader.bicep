metadata name = 'Reader of ContainerAppHTTPLogs'
metadata description = 'A role of its own that queries one table of a Log Analytics workspace, assigned on the workspace.'

@description('Required. Name of the workspace, in this resource group.')
param workspaceName string

@description('Required. Object id of the service principal of the identity, a UUID.')
param principalId string

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: workspaceName
}

// https://learn.microsoft.com/azure/azure-monitor/logs/manage-access#set-table-level-read-access
resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'http-log-reader')
  properties: {
    // A tenant has no two custom roles of the same name.
    roleName: 'Reader of ContainerAppHTTPLogs of ${resourceGroup().name} (${uniqueString(resourceGroup().id)})'
    description: 'Queries the table ContainerAppHTTPLogs of a workspace.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.OperationalInsights/workspaces/read'
          'Microsoft.OperationalInsights/workspaces/query/read'
          'Microsoft.OperationalInsights/workspaces/query/ContainerAppHTTPLogs/read'
        ]
      }
    ]
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: workspace
  name: guid(workspace.id, principalId, role.id)
  properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: role.id }
}
