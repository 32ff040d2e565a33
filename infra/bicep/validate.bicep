metadata name = 'Faults'
metadata description = 'What the types of the parameters cannot refuse. main.bicep asks before anything is made.'

import { Aks } from 'modules/aks.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { Release } from 'modules/container-app.bicep'

@export()
func containerAppsFaults(hosting ContainerApps) string[] =>
  filter(
    concat(
      [
        hosting.scale.min > hosting.scale.max
          ? 'scale.min (${hosting.scale.min}) is above scale.max (${hosting.scale.max}).'
          : ''
        hosting.access.who == 'addresses' && length(filter(hosting.access.ranges, range => parseCidr(range).cidr == 0)) > 0
          ? 'access.ranges has everybody in it; if that is meant, say who: \'anyone\'.'
          : ''
        parseCidr(hosting.?network.?prefix ?? '10.0.0.0/26').cidr > 26
          ? 'network.prefix ${hosting.?network.?prefix} is too small: the environment needs half of a /26.'
          : ''
        hosting.?apps.?groupLister.?welcome != null ? 'group-lister has no WELCOME.' : ''
      ],
      hosting.?apps == null
        ? []
        : concat(
            releaseFaults('state-api', hosting.apps!.stateApi),
            releaseFaults('group-lister', hosting.apps!.groupLister),
            releaseFaults('welcome', hosting.apps!.welcome)
          )
    ),
    fault => !empty(fault)
  )

func releaseFaults(app string, release Release) string[] =>
  concat(
    [
      isSuffix(release.revision)
        ? ''
        : '${app}: ${release.revision} is no suffix of a revision: only a-z, 0-9 and - may be in it.'
    ],
    release.?traffic == null ? [] : trafficFaults(app, release)
  )

func isSuffix(text string) bool =>
  empty(filter(
    range(0, length(text)),
    index => !contains('abcdefghijklmnopqrstuvwxyz0123456789-', substring(text, index, 1))
  ))

func trafficFaults(app string, release Release) string[] => [
  total(release) == 100 ? '' : '${app}: the traffic weights add up to ${total(release)}, not to 100.'
  distinct(map(release.traffic!, share => share.label)) ? '' : '${app}: two revisions have the same label.'
  distinct(map(release.traffic!, share => share.revision)) ? '' : '${app}: a revision has two labels.'
  contains(map(release.traffic!, share => share.revision), release.revision)
    ? ''
    : '${app}: the new revision ${release.revision} is not in the traffic; weight 0 is enough to test it at its label.'
]

func total(release Release) int => reduce(release.traffic!, 0, (sum, share) => sum + share.weight)

func distinct(names string[]) bool => length(union(names, names)) == length(names)

@export()
func aksFaults(hosting Aks, location string) string[] =>
  filter(
    [
      hosting.systemPool.min > hosting.systemPool.max
        ? 'systemPool.min (${hosting.systemPool.min}) is above systemPool.max (${hosting.systemPool.max}).'
        : ''
      hosting.userPool.min > hosting.userPool.max
        ? 'userPool.min (${hosting.userPool.min}) is above userPool.max (${hosting.userPool.max}).'
        : ''
      hosting.apiServer.dns == 'custom' && !isZoneOf(hosting.apiServer.zone, location)
        ? 'apiServer.zone is ${hosting.apiServer.zone}; AKS takes privatelink.${region(location)}.azmk8s.io and its subdomains only.'
        : ''
    ],
    fault => !empty(fault)
  )

func isZoneOf(zone string, location string) bool => endsWith('.${zone}', '.privatelink.${region(location)}.azmk8s.io')

@description('West Europe and westeurope are the same.')
func region(location string) string => toLower(replace(location, ' ', ''))
