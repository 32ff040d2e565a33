metadata name = 'No privileged containers'
metadata description = 'Assigns an Azure Policy to the resource group: its clusters reject or report pods with privileged containers.'

@export()
@description('Names of namespaces; a * at the beginning or the end stands for any characters.')
@minLength(1)
type Namespaces = string[]

@export()
@sealed()
type PrivilegedContainers = {
  @description('Required. deny: reject pods with privileged containers. audit: report them.')
  effect: 'deny' | 'audit'

  @description('Optional. Namespaces that the policy applies to. Without it, all.')
  namespaces: Namespaces?

  @description('Optional. Labels of the pods that the policy applies to. Without it, all pods. The author of a pod can omit a label.')
  podLabels: { *: string }?

  @description('Required. Namespaces to exempt, in addition to those of the platform.')
  excludedNamespaces: string[]
}

@sealed()
type NamespaceParameters = {
  namespaces: { value: Namespaces }?
  excludedNamespaces: { value: string[] }?
}

@description('Required. Effect and targets of the policy.')
param policy PrivilegedContainers

// Version 9.2.0 of the definition "Kubernetes cluster should not allow privileged containers":
// https://github.com/Azure/azure-policy/blob/master/built-in-policies/policyDefinitions/Kubernetes/ContainerNoPrivilege.json
var definition = tenantResourceId('Microsoft.Authorization/policyDefinitions', '95edb821-ddaf-4404-9732-666045e056b4')

@export()
@description('Namespaces that the built-in definitions for pods exempt by default.')
var platformNamespaces = ['kube-system', 'gatekeeper-system', 'azure-arc', 'azure-extensions-usage-system']

// A list replaces the default of the definition, so it repeats the default. Parameters that are left out have the default.
@export()
@description('Returns the parameters of an assignment that select namespaces.')
func namespaceParameters(namespaces Namespaces?, excludedNamespaces string[]) NamespaceParameters =>
  union(
    namespaces == null ? {} : { namespaces: { value: namespaces! } },
    empty(excludedNamespaces) ? {} : { excludedNamespaces: { value: union(platformNamespaces, excludedNamespaces) } }
  )

resource assignment 'Microsoft.Authorization/policyAssignments@2026-07-01' = {
  name: 'no-privileged-containers'
  properties: {
    displayName: 'Kubernetes cluster should not allow privileged containers'
    policyDefinitionId: definition
    parameters: union(
      { effect: { value: policy.effect } },
      policy.?podLabels == null ? {} : { labelSelector: { value: { matchLabels: policy.podLabels! } } },
      namespaceParameters(policy.?namespaces, policy.excludedNamespaces)
    )
  }
}
