// The property "ranges" is not allowed on objects of type "{ who: 'nobody' }"
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  access: { who: 'nobody', ranges: ['203.0.113.7/32'] }
  scale: { min: 1, max: 1, concurrentRequests: 50 }
  apps: {
    stateApi: { image: 'r/state-api:v1', revision: 'v1' }
    groupLister: { image: 'r/group-lister:v1', revision: 'v1' }
    welcome: { image: 'r/welcome:v1', revision: 'v1' }
  }
}
