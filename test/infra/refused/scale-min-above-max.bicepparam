// scale.min (3) is greater than scale.max (1). Lower min or raise max.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  access: { who: 'nobody' }
  scale: { min: 3, max: 1, concurrentRequests: 50 }
  apps: {
    stateApi: { image: 'r/state-api:v1', revision: 'v1' }
    groupLister: { image: 'r/group-lister:v1', revision: 'v1' }
    welcome: { image: 'r/welcome:v1', revision: 'v1' }
  }
}
