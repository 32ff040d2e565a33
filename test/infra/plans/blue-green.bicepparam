using '../../../infra/bicep/main.bicep'

param name = 'blue-green'
param demoSecret = readEnvironmentVariable('DEMO_SECRET')
param cosmosCapacity = { mode: 'autoscale', maxThroughput: 1000 }
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  access: { who: 'anyone' }
  scale: { min: 0, max: 5, concurrentRequests: 20 }
  network: { prefix: '10.20.0.0/23', private: true }
  signIn: { clientId: '44444444-4444-4444-4444-444444444444' }
  apps: {
    stateApi: { image: 'registry.azurecr.io/state-api:v1', revision: 'v1' }
    groupLister: { image: 'registry.azurecr.io/group-lister:v1', revision: 'v1' }
    welcome: {
      image: 'registry.azurecr.io/welcome:v1'
      revision: 'v2'
      welcome: 'Hello from v2!'
      traffic: [
        { label: 'blue', revision: 'v1', weight: 90 }
        { label: 'green', revision: 'v2', weight: 10 }
      ]
    }
  }
}
