// welcome: v1.0.0 is not a valid revision suffix. Use only a-z, 0-9 and -.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  access: { who: 'nobody' }
  scale: { min: 1, max: 1, concurrentRequests: 50 }
  apps: {
    stateApi: { image: 'r/state-api:v1', revision: 'v1' }
    groupLister: { image: 'r/group-lister:v1', revision: 'v1' }
    welcome: { image: 'r/welcome:v1.0.0', revision: 'v1.0.0' }
  }
}
