metadata name = 'Virtual network of the AKS cluster'
metadata description = 'A virtual network with a subnet for the nodes. Pods get addresses from an overlay, outside this network.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the virtual network.')
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

@description('Optional. Adds a subnet for private endpoints, called endpoints.')
param endpoints bool = false

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.1.0.0/16'] }
    subnets: concat(
      [
        {
          name: 'nodes'
          properties: {
            addressPrefix: '10.1.0.0/22'
            // Pods reach other networks with the address of their node, so this covers the sidecars and the Key Vault
            // driver: https://learn.microsoft.com/azure/aks/concepts-network-azure-cni-overlay
            serviceEndpoints: [{ service: 'Microsoft.AzureCosmosDB' }, { service: 'Microsoft.KeyVault' }]
          }
        }
      ],
      endpoints ? [{ name: 'endpoints', properties: { addressPrefix: '10.1.4.0/24' } }] : []
    )
  }
}
