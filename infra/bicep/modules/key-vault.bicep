metadata name = 'Key Vault'
metadata description = 'A vault with the secret demosecret. Access is granted with roles, not access policies.'

import { Firewall } from 'firewall.bicep'
import { Principal } from 'principal.bicep'
import { Tags } from 'tags.bicep'

@description('Required. Name of the vault: 3 to 24 characters, globally unique.')
@minLength(3)
@maxLength(24)
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Required. Value of the secret demosecret.')
@secure()
param demoSecret string

@description('Required. Object id of the service principal that can read demosecret and nothing else, a UUID.')
param principalId string

@description('Optional. User, group or service principal that can set, read and delete all secrets of the vault. Without it, only a deployment can set one.')
param vaultOfficer Principal?

@description('Optional. Disabled: only private endpoints reach the secrets. Resource Manager still writes demosecret.')
param publicNetworkAccess 'Enabled' | 'Disabled' = 'Enabled'

@description('Optional. Callers that reach the secrets. Without it, every address can connect; requests need a role.')
param firewall Firewall?

@description('Optional. Name of the Log Analytics workspace for the audit log, in this resource group. Without it there is none.')
param workspaceName string?

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security#key-vault-secrets-officer
var officer = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7')

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = if (workspaceName != null) {
  name: workspaceName ?? 'none'
}

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    publicNetworkAccess: publicNetworkAccess
    // Resource Manager writes demosecret through the control plane, which has no firewall:
    // https://learn.microsoft.com/azure/key-vault/general/overview-vnet-service-endpoints
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: firewall == null && publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
      virtualNetworkRules: firewall == null ? [] : [{ id: firewall!.subnetId }]
      ipRules: map(firewall.?addresses ?? [], address => { value: address })
    }
    enablePurgeProtection: true
    softDeleteRetentionInDays: 7 // purge protection reserves the name of a deleted vault for this long
  }
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2026-05-15' = {
  parent: vault
  name: 'demosecret'
  tags: tags
  properties: { value: demoSecret }
}

module reader 'secret-reader.bicep' = {
  params: { vaultName: vault.name, principalId: principalId }
  dependsOn: [secret]
}

resource manageSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (vaultOfficer != null) {
  scope: vault
  name: guid(vault.id, vaultOfficer.?id ?? '', officer)
  properties: {
    principalId: vaultOfficer!.id
    principalType: vaultOfficer!.type
    roleDefinitionId: officer
  }
}

#disable-next-line use-recent-api-versions // no stable version supports categoryGroup
resource logging 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (workspaceName != null) {
  scope: vault
  name: 'logs'
  properties: {
    workspaceId: workspace.id
    logs: [{ categoryGroup: 'audit', enabled: true }] // each call, its caller and its result
  }
}

@description('Name of the vault.')
output name string = vault.name
