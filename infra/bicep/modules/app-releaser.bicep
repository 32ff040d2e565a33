metadata name = 'Releaser of container apps'
metadata description = 'A role of its own that releases one container app, assigned on each of the given apps.'

@description('Required. Names of the container apps, in this resource group.')
@minLength(1)
param apps string[]

@description('Required. Object id of the service principal of the identity, a UUID.')
param principalId string

resource released 'Microsoft.App/containerApps@2026-07-01' existing = [for app in apps: { name: app }]

// Neither managedEnvironments/join nor userAssignedIdentities/assign: the PATCH names no environment and no identity. A
// PUT does, and needs the former: https://github.com/microsoft/azure-container-apps/issues/530
resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'app-releaser')
  properties: {
    // A tenant has no two custom roles of the same name.
    roleName: 'Container App Releaser of ${resourceGroup().name} (${uniqueString(resourceGroup().id)})'
    description: 'Creates revisions of a container app, shifts its traffic, and reads its requests.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.App/containerApps/read'
          'Microsoft.App/containerApps/write'
          'Microsoft.App/containerApps/revisions/read'
          'Microsoft.App/containerApps/revisions/replicas/read'
          'Microsoft.App/containerApps/revisions/activate/action'
          'Microsoft.App/containerApps/revisions/deactivate/action'
          'Microsoft.Insights/metrics/read'
        ]
      }
    ]
  }
}

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (app, index) in apps: {
    scope: released[index]
    name: guid(released[index].id, principalId, role.id)
    properties: { principalId: principalId, principalType: 'ServicePrincipal', roleDefinitionId: role.id }
  }
]
