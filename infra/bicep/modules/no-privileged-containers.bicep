metadata name = 'No privileged containers'
metadata description = 'Assigns an Azure Policy to the resource group: its clusters reject or report pods with privileged containers.'

@description('Required. deny: reject pods with privileged containers. audit: report them.')
param effect 'deny' | 'audit'

@description('Required. Namespaces to exempt, in addition to those of the platform.')
param excludedNamespaces string[]

// https://learn.microsoft.com/azure/aks/policy-reference: Kubernetes cluster should not allow privileged containers
var definition = tenantResourceId('Microsoft.Authorization/policyDefinitions', '95edb821-ddaf-4404-9732-666045e056b4')

// A list replaces the default of the definition, so it repeats the default. An empty list leaves the default in force.
// https://github.com/Azure/azure-policy/blob/master/built-in-policies/policyDefinitions/Kubernetes/ContainerNoPrivilege.json
var platformNamespaces = ['kube-system', 'gatekeeper-system', 'azure-arc', 'azure-extensions-usage-system']
var exemptions = empty(excludedNamespaces)
  ? {}
  : { excludedNamespaces: { value: union(platformNamespaces, excludedNamespaces) } }

resource assignment 'Microsoft.Authorization/policyAssignments@2026-07-01' = {
  name: 'no-privileged-containers'
  properties: {
    displayName: 'Kubernetes cluster should not allow privileged containers'
    policyDefinitionId: definition
    parameters: union({ effect: { value: effect } }, exemptions)
  }
}
