// The provided value (whose length will always be less than or equal to 0) is too short
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  access: { who: 'addresses', ranges: [] }
  scale: { min: 1, max: 1, concurrentRequests: 50 }
  apps: {
    stateApi: { image: 'r/state-api:v1', revision: 'v1' }
    groupLister: { image: 'r/group-lister:v1', revision: 'v1' }
    welcome: { image: 'r/welcome:v1', revision: 'v1' }
  }
}
