// The property "on" expected a value of type "'aks' | 'containerapps'"
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param hosting = { on: 'functions' }
