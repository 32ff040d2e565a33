metadata name = 'Network of a Container Apps environment'
metadata description = 'A virtual network whose first half is the environment\'s subnet.'

@description('Required. Name of the network.')
param name string

@description('Required. Where it is.')
param location string

@description('Required. Its addresses, at least a /26.')
param prefix string

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' = {
  name: name
  location: location
  properties: { addressSpace: { addressPrefixes: [prefix] } }
}

resource subnet 'Microsoft.Network/virtualNetworks/subnets@2026-03-01' = {
  parent: network
  name: 'environment'
  properties: {
    addressPrefix: cidrSubnet(prefix, parseCidr(prefix).cidr + 1, 0)
    delegations: [{ name: 'environment', properties: { serviceName: 'Microsoft.App/environments' } }]
  }
}
