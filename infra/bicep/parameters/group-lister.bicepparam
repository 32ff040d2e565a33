using '../apps/group-lister.bicep'

// Set MY_ADDRESS to your public IPv4 address to call the app directly; without it only apps in the environment can.
// To test a new revision before it gets traffic, set LIVE to the name of the revision that keeps the traffic. The label
// green reaches the new revision. CANDIDATE_WEIGHT sends it a percentage of the traffic. Deploy again without LIVE to
// send it all.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var live = readEnvironmentVariable('LIVE', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param image = readEnvironmentVariable('SERVICE_GROUP_LISTER_IMAGE_NAME')
param access = empty(address) ? { who: 'nobody' } : { who: 'addresses', ranges: ['${address}/32'] }
param scale = { min: 1, max: 3, concurrentRequests: 50 }
param candidate = startsWith(live, 'group-lister--')
  ? { live: live, weight: int(readEnvironmentVariable('CANDIDATE_WEIGHT', '0')) }
  : null
