metadata name = 'Firewall'
metadata description = 'The type of the parameter firewall.'

@export()
@sealed()
type Firewall = {
  @description('Required. Resource id of the subnet of the services, which has a service endpoint for the resource.')
  subnetId: string

  @description('Required. Public IPv4 addresses, or ranges in CIDR notation, of other callers.')
  addresses: string[]
}
