metadata name = 'The suite on AKS'
metadata description = 'Cluster, federated credentials and policy. The services are in infra/kubernetes.'

import { ServiceIdentities } from 'identity.bicep'
import { ApiServer, Maintenance, Monitoring, Network, Pool, Zone } from 'cluster.bicep'
import { PrivilegedContainers } from 'no-privileged-containers.bicep'
import { PodSecurityBaseline } from 'pod-security-baseline.bicep'
import { Principal } from 'principal.bicep'
import { Tags } from 'tags.bicep'

@export()
@sealed()
type Aks = {
  @description('Required. Selects Azure Kubernetes Service.')
  on: 'aks'

  @description('Required. Standard: control plane with an uptime SLA. Free: without one.')
  tier: 'Free' | 'Standard'

  @description('Optional. Availability zones of the nodes; an empty list for none. Defaults to all zones of the region.')
  zones: Zone[]?

  @description('Optional. true: the cluster exists, and the deployment leaves the number of nodes to the autoscaler. false: the pools start with min nodes. Defaults to false.')
  exists: bool?

  @description('Required. Node pool for the workloads of the cluster itself.')
  systemPool: Pool

  @description('Required. Node pool for the services.')
  userPool: Pool

  @description('Required. Whether the API server is public or private, and how its name resolves.')
  apiServer: ApiServer

  @description('Optional. Existing subnet for the nodes. Without it, the template creates a virtual network.')
  network: Network?

  @description('Optional. Cluster administrator. Without it, no user can access the Kubernetes API until you assign a role.')
  administrator: Principal?

  @description('Required. Policy for privileged containers.')
  privilegedContainers: PrivilegedContainers

  @description('Optional. Baseline of the pod security standards, as an assignment beside the policy for privileged containers. Defaults to none.')
  podSecurityBaseline: PodSecurityBaseline?

  @description('Optional. true: the identity of the Key Vault add-on can read demosecret, for infra/kubernetes/features/key-vault-addon-identity. Every pod of the cluster can use that identity. Defaults to false.')
  keyVaultAddonIdentity: bool?

  @description('Optional. true: enable the Gateway API and its class approuting-istio, for infra/kubernetes/features/gateway. Otherwise the deployment leaves them as they are.')
  gateway: bool?

  @description('Optional. Version that the Dapr extension keeps. none: no extension. Without it, the newest that the extension offers, with automatic upgrades.')
  daprVersion: string?

  @description('Optional. Weekly window of automatic upgrades. Without it, AKS can upgrade at any time.')
  maintenance: Maintenance?

  @description('Optional. What Azure Monitor collects from the containers. Defaults to nothing.')
  monitoring: Monitoring?
}

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. AKS settings of the deployment.')
param hosting Aks

@description('Required. Name of the AKS cluster.')
param clusterName string

@description('Required. Name of the Log Analytics workspace, in this resource group.')
param workspaceName string

@description('Required. Names of the managed identities of the services, in this resource group.')
param identityNames ServiceIdentities

@description('Required. Name of the managed identity of the control plane, in this resource group.')
param clusterIdentityName string

@description('Required. Resource id of the subnet of the nodes.')
param subnetId string

@description('Optional. Resource id of the private DNS zone of the API server, if apiServer selects one.')
param zoneId string?

@description('Required. Name of the container registry of the images, in this resource group.')
param registryName string

module cluster 'cluster.bicep' = {
  params: {
    name: clusterName
    location: location
    tags: tags
    tier: hosting.tier
    zones: hosting.?zones
    exists: hosting.?exists ?? false
    systemPool: hosting.systemPool
    userPool: hosting.userPool
    apiServer: hosting.apiServer
    subnetId: subnetId
    network: hosting.?network
    zoneId: zoneId
    gateway: hosting.?gateway ?? false
    daprVersion: hosting.?daprVersion
    maintenance: hosting.?maintenance
    monitoring: hosting.?monitoring ?? []
    identityName: clusterIdentityName
    workspaceName: workspaceName
  }
}

module monitoring 'cluster-monitoring.bicep' = {
  params: {
    clusterName: clusterName
    location: location
    tags: tags
    workspaceName: workspaceName
    monitoring: hosting.?monitoring ?? []
  }
  dependsOn: [cluster]
}

module puller 'registry-puller.bicep' = {
  params: { registryName: registryName, principalId: cluster.outputs.kubeletPrincipalId }
}

module stateApiTrust 'federated-credential.bicep' = {
  params: {
    name: clusterName
    identityName: identityNames.stateApi
    issuer: cluster.outputs.issuer
    serviceAccount: 'state-api'
  }
}

module groupListerTrust 'federated-credential.bicep' = {
  params: {
    name: clusterName
    identityName: identityNames.groupLister
    issuer: cluster.outputs.issuer
    serviceAccount: 'group-lister'
  }
}

module welcomeTrust 'federated-credential.bicep' = {
  params: {
    name: clusterName
    identityName: identityNames.welcome
    issuer: cluster.outputs.issuer
    serviceAccount: 'welcome'
  }
}

module policy 'no-privileged-containers.bicep' = {
  params: { policy: hosting.privilegedContainers }
}

module baseline 'pod-security-baseline.bicep' = if (hosting.?podSecurityBaseline != null) {
  params: { policy: hosting.podSecurityBaseline! }
}

@description('Client id of the identity of the Key Vault add-on; KEY_VAULT_ADDON_CLIENT_ID in infra/kubernetes.')
output keyVaultAddonClientId string = cluster.outputs.keyVaultAddonClientId

@description('Object id of the same identity, for role assignments.')
output keyVaultAddonPrincipalId string = cluster.outputs.keyVaultAddonPrincipalId
