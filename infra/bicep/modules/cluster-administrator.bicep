metadata name = 'Administrator of the AKS clusters of a resource group'
metadata description = 'Grants a user, group or service principal all rights in the Kubernetes API.'

import { Principal } from 'principal.bicep'

@description('Required. User, group or service principal.')
param administrator Principal

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers#azure-kubernetes-service-rbac-cluster-admin
var clusterAdmin = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b'
)

resource administer 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, administrator.id, clusterAdmin)
  properties: {
    principalId: administrator.id
    principalType: administrator.type
    roleDefinitionId: clusterAdmin
  }
}
