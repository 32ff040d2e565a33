// network.prefix 10.0.0.0/27 is too small. Use a /26 or larger: the environment uses half of it.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
  network: { source: 'created', prefix: '10.0.0.0/27', private: { dns: 'created' } }
}
