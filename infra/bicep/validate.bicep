metadata name = 'Parameter validation'
metadata description = 'Checks the rules that parameter types cannot express. main.bicep runs the checks before it creates anything.'

import { Aks } from 'modules/aks.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { Release } from 'modules/container-app.bicep'

@export()
@description('Returns a message for each invalid Container Apps parameter; empty when all are valid.')
func containerAppsErrors(hosting ContainerApps) string[] =>
  nonEmpty(concat(
    [
      hosting.scale.min > hosting.scale.max
        ? 'scale.min (${hosting.scale.min}) is greater than scale.max (${hosting.scale.max}). Lower min or raise max.'
        : ''
      hosting.access.who == 'addresses' && length(filter(hosting.access.ranges, range => parseCidr(range).cidr == 0)) > 0
        ? 'access.ranges contains a /0 range, which admits every address. For public access, set access.who to \'anyone\'.'
        : ''
      parseCidr(hosting.?network.?prefix ?? '10.0.0.0/26').cidr > 26
        ? 'network.prefix ${hosting.?network.?prefix} is too small. Use a /26 or larger: the environment uses half of it.'
        : ''
      hosting.?apps.?groupLister.?welcome != null
        ? 'group-lister: welcome is not supported, because group-lister has no greeting. Remove it.'
        : ''
    ],
    hosting.?apps == null
      ? []
      : concat(
          releaseErrors('state-api', hosting.apps!.stateApi),
          releaseErrors('group-lister', hosting.apps!.groupLister),
          releaseErrors('welcome', hosting.apps!.welcome)
        )
  ))

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

func nonEmpty(messages string[]) string[] => filter(messages, message => !empty(message))

func releaseErrors(app string, release Release) string[] =>
  concat(
    [
      isRevisionSuffix(release.revision)
        ? ''
        : '${app}: ${release.revision} is not a valid revision suffix. Use only a-z, 0-9 and -.'
    ],
    release.?traffic == null ? [] : trafficErrors(app, release)
  )

func isRevisionSuffix(text string) bool =>
  empty(filter(
    range(0, length(text)),
    index => !contains('abcdefghijklmnopqrstuvwxyz0123456789-', substring(text, index, 1))
  ))

func trafficErrors(app string, release Release) string[] => [
  totalWeight(release) == 100
    ? ''
    : '${app}: the traffic weights add up to ${totalWeight(release)}. They must add up to 100.'
  areUnique(map(release.traffic!, share => share.label))
    ? ''
    : '${app}: two revisions have the same label. Give each its own.'
  areUnique(map(release.traffic!, share => share.revision))
    ? ''
    : '${app}: one revision has two labels. List each revision once.'
  contains(map(release.traffic!, share => share.revision), release.revision)
    ? ''
    : '${app}: traffic does not list the new revision ${release.revision}. Add it; with weight 0 only its label reaches it.'
]

func totalWeight(release Release) int => reduce(release.traffic!, 0, (sum, share) => sum + share.weight)

func areUnique(names string[]) bool => length(union(names, names)) == length(names)

func isClusterZone(zone string, location string) bool =>
  endsWith('.${zone}', '.privatelink.${regionName(location)}.azmk8s.io')

@description('Returns the short name of a region: westeurope for both West Europe and westeurope.')
func regionName(location string) string => toLower(replace(location, ' ', ''))
