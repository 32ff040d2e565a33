// tags has 16 names. Remove 1: a Key Vault secret and a DNS zone accept 15.
using '../../../infra/bicep/main.bicep'

param name = 'refused'
param demoSecret = 'x'
param tags = toObject(range(1, 16), number => 'tag${number}', number => 'x')
param hosting = {
  on: 'containerapps'
  stateStore: 'identity'
}
