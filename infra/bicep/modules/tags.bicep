metadata name = 'Tags'
metadata description = 'The type of the tags that main.bicep and apps/ put on every resource.'

@export()
@description('Names and values of tags. A name has no spaces and starts with a letter, because DNS zones accept no others.')
type Tags = {
  *: string
}
