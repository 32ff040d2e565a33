// welcome: one revision has two labels. List each revision once.
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
    welcome: {
      image: 'r/welcome:v1'
      revision: 'v1'
      traffic: [
        { label: 'blue', revision: 'v1', weight: 50 }
        { label: 'green', revision: 'v1', weight: 50 }
      ]
    }
  }
}
