metadata name = 'Deployer for GitHub'
metadata description = 'The identity with which .github/workflows/azure-dev.yml deploys. Only jobs of one GitHub environment can sign in as it. It manages all resources of the subscription, but assigns only the roles that main.bicep and the apps assign, and only to other service principals; on AKS, also the role of the cluster administrator to itself. It still controls everything in the subscription through other identities, so use a subscription that has nothing else.'

targetScope = 'subscription'

@description('Required. Subject of the tokens of the environment, such as repo:OWNER/REPOSITORY:environment:azure.')
param subject string

@description('Required. Platform that the workflow deploys.')
param host 'aks' | 'containerapps'

@description('Optional. Azure region of the identity. Defaults to the region of the deployment.')
param location string = deployment().location

// A token of a branch or a pull request needs no approval.
var trusted = contains(subject, ':environment:')
  ? subject
  : fail('subject ${subject} names no environment. Use repo:OWNER/REPOSITORY:environment:azure.')

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var contributor = 'b24988ac-6180-42a0-ab88-20f7382dd24c'
var accessAdministrator = 'f58310d9-a9f6-439a-9e8d-f62e7b41a168' // Role Based Access Control Administrator
var policyContributor = '36243c78-bf99-498c-9df9-86d9f8d28608' // Contributor may not assign policies

// The roles that main.bicep and the apps assign to identities of the suite.
var common = [
  '7f951dda-4ed3-4680-a7ca-43fe172d538d' // AcrPull
  '4633458b-17de-408a-b874-0445c86b69e6' // Key Vault Secrets User
  'acdd72a7-3385-48ef-bd42-f606fba81ae7' // Reader
]
var ofCluster = [
  '4d97b98b-1d4f-4787-a291-c67834d212e7' // Network Contributor
  'b12aa53e-6015-4669-85d0-8515ebb3ae7f' // Private DNS Zone Contributor
]
var ofScaleRules = ['19e7f393-937e-4f77-808e-94535e297925'] // Storage Queue Data Reader
var toOthers = join(concat(common, host == 'aks' ? ofCluster : ofScaleRules), ', ')
// Azure Kubernetes Service RBAC Cluster Admin: a deployment makes the identity that deploys the administrator.
var toItself = host == 'aks' ? 'b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b' : null

@description('Returns the part of the condition for one action, with the attribute source that Azure has for it. DEPLOYER stands for the object id of the identity.')
func limit(action string, source 'Request' | 'Resource', toOthers string, toItself string?) string =>
  '((!(ActionMatches{\'Microsoft.Authorization/roleAssignments/${action}\'})) OR (((@${source}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${toOthers}} AND @${source}[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {\'ServicePrincipal\'}) AND @${source}[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAllValues:GuidNotEquals {DEPLOYER})${toItself == null ? '' : ' OR (@${source}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${toItself}} AND @${source}[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAnyValues:GuidEquals {DEPLOYER})'}))'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-deployer-${host}'
  location: location
}

module identity 'modules/deployer-identity.bicep' = {
  scope: group
  params: { name: 'id-deployer', location: location, subject: trusted }
}

module roles 'modules/deployer-roles.bicep' = {
  params: {
    principalId: identity.outputs.principalId
    roles: concat([contributor], host == 'aks' ? [policyContributor] : [])
    accessAdministrator: accessAdministrator
    // https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
    // https://learn.microsoft.com/azure/role-based-access-control/conditions-authorization-actions-attributes
    condition: replace(
      '${limit('write', 'Request', toOthers, toItself)} AND ${limit('delete', 'Resource', toOthers, toItself)}',
      'DEPLOYER',
      identity.outputs.principalId
    )
  }
}

@description('Client id of the identity.')
output AZURE_CLIENT_ID string = identity.outputs.clientId

@description('Microsoft Entra tenant of the identity.')
output AZURE_TENANT_ID string = tenant().tenantId
