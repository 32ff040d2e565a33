using '../apps/state-api.bicep'

// Deploys the image SERVICE_STATE_API_IMAGE_NAME, which azd sets. Without it, deploys the image of this release with the
// prefix IMAGES: docs/deploy/containers.md#use-published-images.
// Only welcome can call, through both sidecars. To call the app directly, set DIRECT_CALLS to anywhere and MY_ADDRESS to
// your public IPv4 address. Other apps in the environment can then call it directly, too.
// To test a new revision before it gets traffic, set LIVE to the name of the revision that keeps the traffic. The label
// green reaches the new revision, and blue the live one; in the original walkthrough of blue-green releases, green is
// live and blue is the preview. CANDIDATE_WEIGHT sends the new revision a percentage of the traffic. To promote it,
// deploy with CANDIDATE_WEIGHT=100, then deploy the same image without LIVE and CANDIDATE_WEIGHT.
var address = readEnvironmentVariable('MY_ADDRESS', '')
var directCalls = readEnvironmentVariable('DIRECT_CALLS', '')
var live = readEnvironmentVariable('LIVE', '')
var isOfAnotherApp = contains(['group-lister', 'welcome'], split(live, '--')[0])
var weight = readEnvironmentVariable('CANDIDATE_WEIGHT', '')
var greeting = readEnvironmentVariable('WELCOME', '')
var built = readEnvironmentVariable('SERVICE_STATE_API_IMAGE_NAME', '')

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')
param image = empty(built) ? '${readEnvironmentVariable('IMAGES', '')}/state-api:1.0.0' : built
param access = empty(directCalls)
  ? { who: 'nobody' }
  : directCalls != 'anywhere'
      ? fail('DIRECT_CALLS=${directCalls} is not valid. Set it to anywhere to call the app directly, or unset it.')
      : {
          who: 'addresses'
          ranges: [
            '${empty(address) ? fail('DIRECT_CALLS=anywhere needs MY_ADDRESS. Set MY_ADDRESS to your public IPv4 address, or unset DIRECT_CALLS.') : address}/32'
          ]
        }
param scale = { min: 1, max: 3, concurrentRequests: 50 }
param candidate = empty(live) || isOfAnotherApp ? null : { live: live, weight: empty(weight) ? 0 : int(weight) }
param welcome = empty(greeting) ? null : greeting
