metadata name = 'Tags'
metadata description = 'The type of the tags that main.bicep and apps/ put on every resource.'

@export()
// https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
@description('At most 15 tags. A name starts with a letter and has no spaces, because DNS zones accept no others.')
type Tags = {
  *: string
}
