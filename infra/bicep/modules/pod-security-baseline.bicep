metadata name = 'Pod security baseline'
metadata description = 'Assigns an initiative of Azure Policy to the resource group: its clusters reject or report pods that violate the baseline of the pod security standards.'

import { Namespaces, namespaceParameters } from 'no-privileged-containers.bicep'

@export()
@sealed()
type PodSecurityBaseline = {
  @description('Required. deny: reject pods that violate the baseline. audit: report them.')
  effect: 'deny' | 'audit'

  @description('Optional. Namespaces that the initiative applies to. Without it, all.')
  namespaces: Namespaces?

  @description('Required. Namespaces to exempt, in addition to those of the platform.')
  excludedNamespaces: string[]
}

@description('Required. Effect and targets of the initiative.')
param policy PodSecurityBaseline

// Version 1.4.0 of the initiative "Kubernetes cluster pod security baseline standards for Linux-based workloads". It has
// no parameter for labels.
// https://github.com/Azure/azure-policy/blob/master/built-in-policies/policySetDefinitions/Kubernetes/PSPBaselineStandard.json
var initiative = tenantResourceId(
  'Microsoft.Authorization/policySetDefinitions',
  'a8640138-9b0a-4a28-b8cb-1666c838647d'
)

resource assignment 'Microsoft.Authorization/policyAssignments@2026-07-01' = {
  name: 'pod-security-baseline'
  properties: {
    displayName: 'Kubernetes cluster pod security baseline standards for Linux-based workloads'
    policyDefinitionId: initiative
    parameters: union(
      { effect: { value: policy.effect } },
      namespaceParameters(policy.?namespaces, policy.excludedNamespaces)
    )
  }
}
