metadata name = 'Lock'
metadata description = 'Prevents the deletion of this resource group and of each resource in it.'

resource lock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'no-delete'
  properties: {
    level: 'CanNotDelete'
    notes: 'Before azd down: az lock delete --name no-delete --resource-group ${resourceGroup().name}'
  }
}
