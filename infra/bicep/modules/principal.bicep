metadata name = 'Principal'
metadata description = 'The type of a parameter that names who gets a role.'

@export()
@sealed()
type Principal = {
  @description('Required. Object id in Microsoft Entra ID, a UUID. That of an application is the object id of its service principal, and not the client id.')
  @minLength(36)
  @maxLength(36)
  id: string

  @description('Required. Kind of principal that the object id belongs to.')
  type: 'Group' | 'ServicePrincipal' | 'User'
}
