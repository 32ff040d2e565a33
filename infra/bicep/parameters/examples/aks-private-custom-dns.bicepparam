using '../../main.bicep'

// Like aks.bicepparam, with its variables, but with a private API server, whose name is in a private DNS zone that the
// template creates. Only networks that reach the network of the nodes can connect to it. MY_ADDRESS reaches the vault and
// Cosmos DB.
var region = readEnvironmentVariable('AZURE_LOCATION')
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
param location = region
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
  apiServer: { dns: 'custom', zone: 'privatelink.${region}.azmk8s.io' }
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
