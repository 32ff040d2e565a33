// network.prefix 10.0.0.0/27 is too small. Use a /26 or larger: the environment uses half of it.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  access: { who: 'nobody' }
  scale: { min: 1, max: 1, concurrentRequests: 50 }
  network: { prefix: '10.0.0.0/27', private: true }
  apps: {
    stateApi: { image: 'r/state-api:v1', revision: 'v1' }
    groupLister: { image: 'r/group-lister:v1', revision: 'v1' }
    welcome: { image: 'r/welcome:v1', revision: 'v1' }
  }
}
