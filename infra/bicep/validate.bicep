metadata name = 'Parameter validation'
metadata description = 'Checks the rules that parameter types cannot express. main.bicep runs the checks before it creates anything.'

import { Aks } from 'modules/aks.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { Access, Candidate, Scale } from 'modules/container-app.bicep'
import { Tags } from 'modules/tags.bicep'

@export()
@description('Returns a message for each invalid Container Apps parameter; empty when all are valid.')
func containerAppsErrors(hosting ContainerApps) string[] =>
  nonEmpty([
    parseCidr(hosting.?network.?prefix ?? '10.0.0.0/26').cidr > 26
      ? 'network.prefix ${hosting.?network.?prefix} is too small. Use a /26 or larger: the environment uses half of it.'
      : ''
  ])

@export()
@description('Returns a message for each invalid parameter of an app; empty when all are valid.')
func appErrors(name string, image string, access Access, scale Scale, candidate Candidate?) string[] =>
  nonEmpty([
    !contains(split(image, '/')[0], '.') ? 'image ${image} names no registry. Use REGISTRY.azurecr.io/${name}:TAG.' : ''
    scale.min > scale.max
      ? 'scale.min (${scale.min}) is greater than scale.max (${scale.max}). Lower min or raise max.'
      : ''
    access.who == 'addresses' && length(filter(access.ranges, range => parseCidr(range).cidr == 0)) > 0
      ? 'access.ranges contains a /0 range, which admits every address. For public access, set access.who to \'anyone\'.'
      : ''
    candidate != null && (!startsWith(candidate!.live, '${name}--') || endsWith(candidate!.live, '--'))
      ? 'candidate.live ${candidate!.live} is not a revision of ${name}. Use the whole name, ${name}--SUFFIX.'
      : ''
  ])

@export()
@description('Returns a message for each invalid AKS parameter; empty when all are valid.')
func aksErrors(hosting Aks, location string) string[] =>
  nonEmpty([
    hosting.systemPool.min > hosting.systemPool.max
      ? 'systemPool.min (${hosting.systemPool.min}) is greater than systemPool.max (${hosting.systemPool.max}). Lower min or raise max.'
      : ''
    hosting.userPool.min > hosting.userPool.max
      ? 'userPool.min (${hosting.userPool.min}) is greater than userPool.max (${hosting.userPool.max}). Lower min or raise max.'
      : ''
    hosting.apiServer.dns == 'custom' && !isClusterZone(hosting.apiServer.zone, location)
      ? 'apiServer.zone ${hosting.apiServer.zone} is not valid. Use privatelink.${regionName(location)}.azmk8s.io or a subdomain of it.'
      : ''
  ])

@export()
@description('Returns a message for each invalid option of either platform; empty when all are valid.')
func optionErrors(tags Tags, zonesWithoutNetwork bool) string[] =>
  nonEmpty([
    length(tags) > 15
      ? 'tags has ${length(tags)} names. Remove ${length(tags) - 15}: a Key Vault secret and a DNS zone accept 15.'
      : ''
    zonesWithoutNetwork
      ? 'zoneRedundant needs a network of your own on Container Apps. Set hosting.network, or set zoneRedundant to false.'
      : ''
  ])

func nonEmpty(messages string[]) string[] => filter(messages, message => !empty(message))

func isClusterZone(zone string, location string) bool =>
  endsWith('.${zone}', '.privatelink.${regionName(location)}.azmk8s.io')

@description('Returns the short name of a region: westeurope for both West Europe and westeurope.')
func regionName(location string) string => toLower(replace(location, ' ', ''))
