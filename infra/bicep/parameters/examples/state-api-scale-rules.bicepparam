using '../../apps/state-api.bicep'

// Like state-api.bicepparam, but the app also scales by the use of its CPU, by the messages in a queue of Azure Storage,
// and to three replicas in working hours. Set QUEUE_ID to the resource id of the queue. The deployment creates an identity
// for the rule and lets it read that queue. The same rules are possible for the other apps, in every kind of network.
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
param scale = {
  min: 1
  max: 10
  concurrentRequests: 50
  rules: [
    { on: 'cpu', utilization: 70 }
    { on: 'queue', queueId: readEnvironmentVariable('QUEUE_ID'), messages: 20 }
    {
      on: 'custom'
      scaler: 'cron' // https://keda.sh/docs/latest/scalers/cron
      metadata: { timezone: 'Europe/Berlin', start: '0 8 * * 1-5', end: '0 18 * * 1-5', desiredReplicas: '3' }
    }
  ]
}
param candidate = empty(live) || isOfAnotherApp ? null : { live: live, weight: empty(weight) ? 0 : int(weight) }
param welcome = empty(greeting) ? null : greeting
