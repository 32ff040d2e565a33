metadata name = 'What the suite needs on AKS'
metadata description = 'Cluster, network, names, trust in the service accounts, and a policy. infra/kubernetes has the services.'

import { ServiceIdentities } from 'identity.bicep'
import { Administrator, ApiServer, Pool, Zone } from 'cluster.bicep'

@description('Required. Name of the installation.')
param name string

@description('Required. Where it is.')
param location string

@description('Required. What was chosen.')
param hosting Aks

@description('Required. Name of the cluster.')
param clusterName string

@description('Required. Log Analytics workspace, in this resource group.')
param workspaceName string

@description('Required. Identities of the services, in this resource group.')
param identityNames ServiceIdentities

@description('Required. Identity of the control plane, in this resource group.')
param clusterIdentityName string

@description('Required. Identity of the nodes, in this resource group.')
param kubeletIdentityName string

@export()
@sealed()
type Aks = {
  @description('Required. Azure Kubernetes Service.')
  on: 'aks'

  @description('Required. Control plane with or without a service level agreement.')
  tier: 'Free' | 'Standard'

  @description('Required. Availability zones of the nodes; none where the region has none.')
  zones: Zone[]

  @description('Required. Nodes of the cluster\'s own workloads.')
  systemPool: Pool

  @description('Required. Nodes of the services.')
  userPool: Pool

  @description('Required. How the API server is reached.')
  apiServer: ApiServer

  @description('Optional. Who administers the cluster. Without one nobody may use its API until somebody is given a role.')
  administrator: Administrator?

  @description('Required. What becomes of privileged containers.')
  privilegedContainers: PrivilegedContainers
}

@sealed()
type PrivilegedContainers = {
  @description('Required. Refused, or only reported.')
  effect: 'deny' | 'audit'

  @description('Required. Namespaces where they are let through, beside those of the platform.')
  excludedNamespaces: string[]
}

var networkName = 'vnet-${name}'

module network 'aks-network.bicep' = {
  params: { name: networkName, location: location, identityName: clusterIdentityName }
}

module zone 'private-dns-zone.bicep' = if (hosting.apiServer.dns == 'custom') {
  params: { name: hosting.apiServer.?zone ?? '', networkName: networkName, identityName: clusterIdentityName }
  dependsOn: [network]
}

module cluster 'cluster.bicep' = {
  params: {
    name: clusterName
    location: location
    tier: hosting.tier
    zones: hosting.zones
    systemPool: hosting.systemPool
    userPool: hosting.userPool
    apiServer: hosting.apiServer
    administrator: hosting.?administrator
    networkName: networkName
    identityName: clusterIdentityName
    kubeletIdentityName: kubeletIdentityName
    workspaceName: workspaceName
  }
  dependsOn: [network, zone]
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
  params: {
    effect: hosting.privilegedContainers.effect
    excludedNamespaces: hosting.privilegedContainers.excludedNamespaces
  }
}

@description('Client id of the Key Vault add-on.')
output keyVaultAddonClientId string = cluster.outputs.keyVaultAddonClientId
