metadata name = 'Parameter validation'
metadata description = 'Checks the rules that parameter types cannot express. main.bicep runs the checks before it creates anything.'

import { Aks } from 'modules/aks.bicep'
import { ContainerApps } from 'modules/container-apps.bicep'
import { Access, Candidate, Domain, Scale, SignIn } from 'modules/container-app.bicep'
import { platformNamespaces } from 'modules/no-privileged-containers.bicep'
import { EndpointZones, PrivateEndpoints } from 'modules/private-endpoints.bicep'
import { Tags } from 'modules/tags.bicep'

@export()
@description('Returns a message for each invalid Container Apps parameter; empty when all are valid.')
func containerAppsErrors(hosting ContainerApps) string[] =>
  nonEmpty([
    parseCidr(hosting.?network.?prefix ?? '10.0.0.0/26').cidr > 26
      ? 'network.prefix ${hosting.?network.?prefix} is too small. Use a /26 or larger: the environment uses half of it.'
      : ''
    hosting.?network.?source == 'existing' && !isId(hosting.?network.?subnetId ?? '', 'virtualNetworks', 11)
      ? 'network.subnetId ${hosting.?network.?subnetId} is not the resource id of a subnet. Read it with: az network vnet subnet show --query id'
      : ''
    hosting.?network.?private.?dns == 'existing' && !isId(hosting.?network.?private.?zoneId ?? '', 'privateDnsZones', 9)
      ? 'network.private.zoneId ${hosting.?network.?private.?zoneId} is not the resource id of a private DNS zone. Read it with: az network private-dns zone show --query id'
      : ''
  ])

@export()
@description('Returns a message for each invalid parameter of an app; empty when all are valid.')
func appErrors(name string, image string, access Access, scale Scale, candidate Candidate?) string[] =>
  nonEmpty([
    !contains(split(image, '/')[0], '.')
      ? 'image ${image} names no registry. Set ${imageVariable(name)} to the image to deploy, such as REGISTRY.azurecr.io/${name}:TAG. Or set IMAGES to the prefix of published images.'
      : ''
    contains(image, '//')
      ? 'image ${image} has two slashes in a row. Set IMAGES, or ${imageVariable(name)}, to a name without a slash at the end.'
      : ''
    repository(image) != toLower(repository(image))
      ? 'image ${image} has capital letters before the tag. Write the name in lower case.'
      : ''
    scale.min > scale.max
      ? 'scale.min (${scale.min}) is greater than scale.max (${scale.max}). Lower min or raise max.'
      : ''
    // https://learn.microsoft.com/azure/container-apps/scale-app#custom
    scale.min == 0 && !empty(filter(scale.?rules ?? [], rule => contains(['cpu', 'memory'], rule.?scaler ?? rule.on)))
      ? 'scale.min is 0, but scale.rules has a rule for CPU or memory, with which the app never scales to zero. Set min to 1 or more, or remove the rule.'
      : ''
    !empty(filter(scale.?rules ?? [], rule => rule.on == 'queue' && !isQueueId(rule.?queueId ?? '')))
      ? 'scale.rules has a queueId that is not the resource id of a queue. Use ACCOUNT-ID/queueServices/default/queues/QUEUE, with ACCOUNT-ID from: az storage account show --query id'
      : ''
    access.who == 'addresses' && admitsStrangers(access.ranges)
      ? 'access.ranges contains a range that is larger than a /8, which admits strangers. List the ranges of your callers.'
      : ''
    candidate != null && (!startsWith(candidate!.live, '${name}--') || endsWith(candidate!.live, '--'))
      ? 'candidate.live ${candidate!.live} is not a revision of ${name}. Use the whole name, ${name}--SUFFIX.'
      : ''
  ])

@export()
@description('Returns a message when any address can call welcome without sign-in; empty otherwise.')
func signInErrors(access Access, signIn SignIn?) string[] =>
  nonEmpty([
    access.who == 'anyone' && signIn == null
      ? 'access.who \'anyone\' needs signIn: without it, every address could read your resource groups and change the state. Set WELCOME_SIGN_IN_CLIENT_ID to the client id of an app registration (docs/operate/sign-in.md), or restrict access to addresses.'
      : ''
  ])

@export()
@description('Returns a message for an invalid domain of an app; empty when it is valid.')
func domainErrors(domain Domain?, access Access) string[] =>
  nonEmpty([
    domain != null && (!contains(domain!.name, '.') || contains(domain!.name, '/') || contains(domain!.name, '*'))
      ? 'domain.name ${domain!.name} is not a domain name. Use one name such as welcome.example.com, without https:// and *.'
      : ''
    domain != null && access.who != 'anyone'
      ? 'domain needs access.who \'anyone\', because the certificate authority calls the app. Set WELCOME_ACCESS to anyone and WELCOME_SIGN_IN_CLIENT_ID, or remove domain.'
      : ''
  ])

@export()
@description('Returns a message for each invalid AKS parameter; empty when all are valid.')
func aksErrors(hosting Aks, location string) string[] =>
  nonEmpty([
    hosting.systemPool.min > hosting.systemPool.max
      ? 'systemPool.min (${hosting.systemPool.min}) is greater than systemPool.max (${hosting.systemPool.max}). Lower min or raise max.'
      : ''
    startsWith(toLower(hosting.systemPool.vmSize), 'standard_b') // https://learn.microsoft.com/azure/aks/use-system-pools
      ? 'systemPool.vmSize ${hosting.systemPool.vmSize} is of the B series, which AKS refuses for system pools. Use a size such as Standard_D4s_v5.'
      : ''
    hosting.userPool.min > hosting.userPool.max
      ? 'userPool.min (${hosting.userPool.min}) is greater than userPool.max (${hosting.userPool.max}). Lower min or raise max.'
      : ''
    hosting.apiServer.dns == 'public' && admitsStrangers(hosting.apiServer.?authorizedRanges ?? [])
      ? 'apiServer.authorizedRanges contains a range that is larger than a /8, which admits strangers. List the ranges of your callers; for a public API server, leave authorizedRanges out.'
      : ''
    hosting.apiServer.dns == 'custom' && !isClusterZone(hosting.apiServer.zone, location)
      ? 'apiServer.zone ${hosting.apiServer.zone} is not valid. Use ${clusterZone(location)} or a subdomain of it with at most 32 characters more.'
      : ''
    hosting.apiServer.dns == 'existing' && !isId(hosting.apiServer.zoneId, 'privateDnsZones', 9)
      ? 'apiServer.zoneId ${hosting.apiServer.zoneId} is not the resource id of a private DNS zone. Read it with: az network private-dns zone show --query id'
      : ''
    hosting.apiServer.dns == 'existing' && !isClusterZone(last(split(hosting.apiServer.zoneId, '/')), location)
      ? 'The zone of apiServer.zoneId, ${last(split(hosting.apiServer.zoneId, '/'))}, is not valid. Use ${clusterZone(location)} or a subdomain of it with at most 32 characters more.'
      : ''
    hosting.?network != null && !isId(hosting.network!.subnetId, 'virtualNetworks', 11)
      ? 'network.subnetId ${hosting.network!.subnetId} is not the resource id of a subnet. Read it with: az network vnet subnet show --query id'
      : ''
    parseCidr(hosting.?network.?podCidr ?? '10.244.0.0/16').cidr > 24
      ? 'network.podCidr ${hosting.?network.?podCidr} is too small. Use a /16 or larger: each node uses a /24 of it.'
      : ''
    parseCidr(hosting.?network.?serviceCidr ?? '10.3.0.0/24').cidr > 28
      ? 'network.serviceCidr ${hosting.?network.?serviceCidr} is too small. Use a /28 or larger: DNS uses its tenth address.'
      : ''
  ])

@export()
@description('Returns a message for each invalid parameter of the policies; empty when all are valid.')
func policyErrors(hosting Aks) string[] =>
  nonEmpty(concat(
    namespaceErrors(
      'privilegedContainers',
      hosting.privilegedContainers.?namespaces ?? [],
      hosting.privilegedContainers.excludedNamespaces
    ),
    namespaceErrors(
      'podSecurityBaseline',
      hosting.?podSecurityBaseline.?namespaces ?? [],
      hosting.?podSecurityBaseline.?excludedNamespaces ?? []
    ),
    [
      hosting.privilegedContainers.?podLabels != null && empty(hosting.privilegedContainers.?podLabels)
        ? 'privilegedContainers.podLabels is empty. Remove it, or add a label such as { tier: \'web\' }.'
        : ''
    ]
  ))

// The name of the cluster is its DNS prefix, and a Container Apps environment accepts no upper case.
// https://azure.github.io/PSRule.Rules.Azure/en/rules/Azure.ContainerApp.EnvNaming
var nameCharacters = 'abcdefghijklmnopqrstuvwxyz0123456789-'

@export()
@description('Returns a message for each invalid option that both platforms have; empty when all are valid.')
func optionErrors(
  name string,
  tags Tags,
  zoneRedundant bool,
  privateEndpoints PrivateEndpoints?,
  network 'none' | 'created' | 'existing',
  clientAddresses string[]
) string[] =>
  nonEmpty([
    admitsStrangers(map(clientAddresses, address => contains(address, '/') ? address : '${address}/32')) || contains(
        map(clientAddresses, address => split(address, '/')[0]),
        '0.0.0.0'
      )
      ? 'clientAddresses contains an address that admits strangers: a range that is larger than a /8, or 0.0.0.0, which is all of Azure. Use your own public address.'
      : ''
    isName(name)
      ? ''
      : 'name ${name} is not valid. Use a to z, 0 to 9 and hyphens, with no hyphen at the beginning or the end.'
    length(tags) > 15
      ? 'tags has ${length(tags)} names. Remove ${length(tags) - 15}: a Key Vault secret and a DNS zone accept 15.'
      : ''
    zoneRedundant && network == 'none'
      ? 'zoneRedundant needs a network of your own on Container Apps. Set hosting.network, or set zoneRedundant to false.'
      : ''
    privateEndpoints != null && network == 'none'
      ? 'privateEndpoints needs a network of your own on Container Apps. Set hosting.network, or remove privateEndpoints.'
      : ''
    privateEndpoints != null && network == 'existing' && privateEndpoints.?subnetId == null
      ? 'privateEndpoints.subnetId is missing. Set it to a subnet of the existing network that hosting.network names.'
      : ''
    privateEndpoints.?subnetId != null && network == 'created'
      ? 'privateEndpoints.subnetId is outside of the network that the template creates. Remove it, or let hosting.network name an existing network.'
      : ''
    privateEndpoints.?subnetId != null && !isId(privateEndpoints!.subnetId!, 'virtualNetworks', 11)
      ? 'privateEndpoints.subnetId ${privateEndpoints!.subnetId!} is not the resource id of a subnet. Read it with: az network vnet subnet show --query id'
      : ''
    privateEndpoints.?zones != null && !areEndpointZones(privateEndpoints!.zones!)
      ? 'privateEndpoints.zones has a wrong zone. Use the resource ids of privatelink.azurecr.io, privatelink.vaultcore.azure.net and privatelink.documents.azure.com.'
      : ''
  ])

@description('Returns true if a range in CIDR notation is larger than a /8.')
func admitsStrangers(ranges string[]) bool => !empty(filter(ranges, range => parseCidr(range).cidr < 8))

func areEndpointZones(zones EndpointZones) bool =>
  contains(toLower(zones.registry), '/privatednszones/privatelink.azurecr.') && contains(
    toLower(zones.vault),
    '/privatednszones/privatelink.vaultcore.'
  ) && contains(toLower(zones.cosmos), '/privatednszones/privatelink.documents.')

func isName(name string) bool => !startsWith(name, '-') && !endsWith(name, '-') && hasNameCharacters(name)

func hasNameCharacters(text string) bool =>
  empty(filter(range(0, length(text)), index => !contains(nameCharacters, substring(text, index, 1))))

func namespaceErrors(option string, namespaces string[], excludedNamespaces string[]) string[] =>
  map(
    union(namespaces, excludedNamespaces),
    namespace =>
      !isNamespace(namespace)
        ? '${option} names the namespace ${namespace}, which is not valid. Use a to z, 0 to 9 and hyphens, and at most one * at the beginning and one at the end.'
        : contains(namespaces, namespace) && contains(concat(platformNamespaces, excludedNamespaces), namespace)
            ? '${option}.namespaces contains ${namespace}, which the policy exempts. Remove it.'
            : ''
  )

// The names that Gatekeeper accepts in a constraint. It rejects a constraint with another one, which then has no effect.
func isNamespace(pattern string) bool => isNamespaceName(startsWith(pattern, '*') ? substring(pattern, 1) : pattern)

func isNamespaceName(name string) bool =>
  name != '' && name != '*' && hasNameCharacters(endsWith(name, '*') ? take(name, length(name) - 1) : name)

func imageVariable(app string) string => 'SERVICE_${replace(toUpper(app), '-', '_')}_IMAGE_NAME'

// Without the registry, whose name may have capital letters, and without the tag, which may have them, too.
func repository(image string) string => split(join(skip(split(image, '/'), 1), '/'), ':')[0]

func nonEmpty(messages string[]) string[] => filter(messages, message => !empty(message))

func isId(id string, type string, parts int) bool =>
  length(split(id, '/')) == parts && startsWith(id, '/subscriptions/') && contains(
    toLower(id),
    '/providers/microsoft.network/${toLower(type)}/'
  )

func isQueueId(id string) bool =>
  length(split(id, '/')) == 13 && startsWith(id, '/subscriptions/') && contains(
    toLower(id),
    '/providers/microsoft.storage/storageaccounts/'
  ) && contains(toLower(id), '/queueservices/default/queues/')

// AKS allows 32 characters before the name of the zone: https://learn.microsoft.com/azure/aks/private-clusters
func isClusterZone(zone string, location string) bool =>
  endsWith('.${zone}', '.${clusterZone(location)}') && length(zone) <= length(clusterZone(location)) + 33

@description('Returns the name of the private DNS zone of the API servers in a region.')
func clusterZone(location string) string => 'privatelink.${regionName(location)}.azmk8s.io'

@description('Returns the short name of a region: westeurope for both West Europe and westeurope.')
func regionName(location string) string => toLower(replace(location, ' ', ''))
