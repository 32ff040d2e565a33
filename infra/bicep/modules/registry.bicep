metadata name = 'Container registry'
metadata description = 'Stores the images. The admin user is disabled; identities need the AcrPull role: registry-puller.bicep.'

import { Tags } from 'tags.bicep'

@description('Required. Name of the registry: 5 to 50 letters and digits, globally unique.')
@minLength(5)
@maxLength(50)
param name string

@description('Required. Azure region of the resources, such as westeurope.')
param location string

@description('Required. Tags of the resources.')
param tags Tags

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Basic' }
  properties: { adminUserEnabled: false }
}

@description('Host name of the registry; image references start with it.')
output server string = registry.properties.loginServer
