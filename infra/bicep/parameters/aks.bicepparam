using '../main.bicep'

// AKS with a public API server. Deploy infra/kubernetes/overlays/aks to it.
// Set MY_ADDRESS to your public IPv4 address to close the API server to all others, and to reach the vault and Cosmos DB,
// whose firewalls admit only the nodes. Without it, any address can connect to the API server, but every request needs a
// token. Set WELCOME_HOST for infra/kubernetes/features/gateway.
// SECRETS_OFFICER is the object id of whoever sets secrets of the vault with az, and SECRETS_OFFICER_TYPE its type, by
// default User. KEY_VAULT_ADDON_IDENTITY=true is for infra/kubernetes/features/key-vault-addon-identity.
// AKS_DAPR_VERSION pins the version of the Dapr extension; none leaves the extension out, for Dapr by Helm.
// The nodes: AKS_ZONES is none, or a list such as 1,3, where a zone does not offer the size. At least 6 vCPU run, and at
// most 14, or 20 while an upgrade adds a node to each pool.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var groups = readEnvironmentVariable('LISTED', '')
var administrator = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
var principalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', '')
var officer = readEnvironmentVariable('SECRETS_OFFICER', '')
var officerType = readEnvironmentVariable('SECRETS_OFFICER_TYPE', '')
var addonIdentity = readEnvironmentVariable('KEY_VAULT_ADDON_IDENTITY', '')
var zones = readEnvironmentVariable('AKS_ZONES', '')
var zoneList = zones == 'none' ? [] : map(split(zones, ','), zone => trim(zone))
var unknownZones = filter(zoneList, zone => !contains(['1', '2', '3'], zone))
var daprVersion = readEnvironmentVariable('AKS_DAPR_VERSION', '')
var systemSize = readEnvironmentVariable('AKS_SYSTEM_VM_SIZE', '')
var userSize = readEnvironmentVariable('AKS_USER_VM_SIZE', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param vaultOfficer = empty(officer) ? null : { id: officer, type: empty(officerType) ? 'User' : officerType }
param clientAddresses = empty(address) ? [] : [address]
param listed = empty(groups) ? 'resourceGroup' : groups
param hosting = {
  on: 'aks'
  tier: 'Free'
  zones: empty(zones)
    ? null
    : empty(unknownZones)
        ? filter(['1', '2', '3'], zone => contains(zoneList, zone))
        : fail('AKS_ZONES ${zones} is not a list of zones. Set it to none, or to a list of 1, 2 and 3 such as 1,3.')
  exists: !empty(readEnvironmentVariable('AZURE_AKS_CLUSTER_NAME', ''))
  systemPool: {
    vmSize: empty(systemSize) ? 'Standard_D4s_v5' : systemSize
    osDiskSizeGB: 64
    min: 1
    max: 2
  }
  userPool: {
    vmSize: empty(userSize) ? 'Standard_D2s_v5' : userSize
    osDiskSizeGB: 64
    min: 1
    max: 3
  }
  apiServer: { dns: 'public', authorizedRanges: empty(address) ? null : ['${address}/32'] }
  administrator: empty(administrator)
    ? null
    : { id: administrator, type: empty(principalType) ? 'User' : principalType }
  privilegedContainers: { effect: 'deny', excludedNamespaces: [] }
  keyVaultAddonIdentity: contains(['', 'true', 'false'], addonIdentity)
    ? addonIdentity == 'true'
    : fail('KEY_VAULT_ADDON_IDENTITY ${addonIdentity} is not valid. Set it to true or false.')
  gateway: !empty(readEnvironmentVariable('WELCOME_HOST', ''))
  daprVersion: empty(daprVersion) ? null : daprVersion
}
