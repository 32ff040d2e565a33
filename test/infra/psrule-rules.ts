// The rules of PSRule for Azure that concern the resource types of infra/bicep, written again as predicates on a plan,
// because PSRule itself needs the PowerShell Gallery. https://azure.github.io/PSRule.Rules.Azure/en/rules/ has a page
// with the name of each rule. Left out: preview rules, rules that are off until configured (name formats, allowed
// regions) and rules that read a running resource.
import { at, listAt } from "../support/at.ts";

export interface Rule {
  readonly type: string;
  /** The property that the rule reads. `children` are the resources whose id contains the id of the resource. */
  readonly path: string;
  readonly holds: (value: unknown) => boolean;
  /** A value that breaks the rule, for rules that also hold without the property. */
  readonly bad?: unknown;
}

const app = "Microsoft.App/containerApps";
const environment = "Microsoft.App/managedEnvironments";
const registry = "Microsoft.ContainerRegistry/registries";
const vault = "Microsoft.KeyVault/vaults";
const account = "Microsoft.DocumentDB/databaseAccounts";
const cluster = "Microsoft.ContainerService/managedClusters";
const network = "Microsoft.Network/virtualNetworks";

const isTrue = (value: unknown) => value === true;
const isNotTrue = { holds: (value: unknown) => value === undefined || value === false, bad: true };
const isOneOf =
  (...allowed: string[]) =>
  (value: unknown) =>
    allowed.includes(String(value));
const matches = (pattern: RegExp) => (value: unknown) => pattern.test(fullName(String(value)));
/** Whether the list has an item and the condition holds for all of them. */
const each = (condition: (item: unknown) => boolean) => (list: unknown) =>
  Array.isArray(list) && list.length > 0 && list.every(condition);

export const rules: Readonly<Record<string, Rule>> = {
  "Azure.ContainerApp.Insecure": { type: app, path: "properties.configuration.ingress.allowInsecure", ...isNotTrue },
  "Azure.ContainerApp.ManagedIdentity": { type: app, path: "identity.type", holds: isOneOf("UserAssigned") },
  "Azure.ContainerApp.Name": { type: app, path: "name", holds: matches(/^[a-z][a-z\d-]{0,30}[a-z\d]$/), bad: "A" },
  "Azure.ContainerApp.MinReplicas": {
    type: app,
    path: "properties.template.scale.minReplicas",
    holds: (count) => Number(count) >= 2,
  },
  "Azure.ContainerApp.DisableAffinity": {
    type: app,
    path: "properties.configuration.ingress.stickySessions",
    holds: (sessions) => isOneOf("undefined", "none")(at(sessions, "affinity")),
    bad: { affinity: "sticky" },
  },
  "Azure.ContainerApp.RestrictIngress": {
    type: app,
    path: "properties.configuration.ingress.ipSecurityRestrictions",
    holds: each((restriction) => at(restriction, "action") === "Allow"),
  },
  "Azure.ContainerApp.Storage": {
    type: app,
    path: "properties.template.volumes",
    holds: (volumes) => Array.isArray(volumes) && volumes.every((item) => at(item, "storageType") === "AzureFile"),
    bad: [{ storageType: "EmptyDir" }],
  },
  "Azure.ContainerApp.PublicAccess": {
    type: environment,
    path: "properties.vnetConfiguration",
    holds: (value) => at(value, "internal") === true && Boolean(at(value, "infrastructureSubnetId")),
  },
  "Azure.ContainerApp.AvailabilityZone": { type: environment, path: "properties.zoneRedundant", holds: isTrue },

  "Azure.ACR.AdminUser": { type: registry, path: "properties.adminUserEnabled", ...isNotTrue },
  "Azure.ACR.AnonymousAccess": { type: registry, path: "properties.anonymousPullEnabled", ...isNotTrue },
  "Azure.ACR.MinSku": { type: registry, path: "sku.name", holds: isOneOf("Standard", "Premium") },
  "Azure.ACR.Name": { type: registry, path: "name", holds: matches(/^[A-Za-z\d]{5,50}$/), bad: "not-valid" },
  "Azure.ACR.Firewall": {
    type: registry,
    path: "properties.publicNetworkAccess",
    holds: isOneOf("Disabled"),
  },
  "Azure.ACR.Logs": {
    type: registry,
    path: "children",
    holds: hasLogs([["ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"]], ["audit", "allLogs"]),
  },

  "Azure.KeyVault.AccessPolicy": {
    type: vault,
    path: "properties.accessPolicies",
    holds: (policies) => policies === undefined || (Array.isArray(policies) && policies.length === 0),
    bad: [{ permissions: { secrets: ["all"] } }],
  },
  "Azure.KeyVault.RBAC": { type: vault, path: "properties.enableRbacAuthorization", holds: isTrue },
  "Azure.KeyVault.PurgeProtect": { type: vault, path: "properties.enablePurgeProtection", holds: isTrue },
  "Azure.KeyVault.SoftDelete": { type: vault, path: "properties.enableSoftDelete", holds: isTrue },
  "Azure.KeyVault.Firewall": { type: vault, path: "properties.networkAcls.defaultAction", holds: isOneOf("Deny") },
  "Azure.KeyVault.Name": {
    type: vault,
    path: "name",
    holds: matches(/^(?=.{3,24}$)[A-Za-z](-?[A-Za-z\d])+$/),
    bad: "1",
  },
  "Azure.KeyVault.SecretName": {
    type: `${vault}/secrets`,
    path: "name",
    holds: (name) => /(^|\/|')[A-Za-z\d-]{1,127}('\)\])?$/.test(String(name)),
    bad: "vault/not_valid",
  },
  "Azure.KeyVault.Logs": { type: vault, path: "children", holds: hasLogs([["AuditEvent"]], ["audit", "allLogs"]) },

  "Azure.Cosmos.AccountName": {
    type: account,
    path: "name",
    holds: matches(/^[a-z\d][a-z\d-]{1,42}[a-z\d]$/),
    bad: "A",
  },
  "Azure.Cosmos.DisableLocalAuth": { type: account, path: "properties.disableLocalAuth", holds: isTrue },
  "Azure.Cosmos.DisableMetadataWrite": {
    type: account,
    path: "properties.disableKeyBasedMetadataWriteAccess",
    holds: isTrue,
  },
  "Azure.Cosmos.MinTLS": { type: account, path: "properties.minimalTlsVersion", holds: isOneOf("Tls12") },
  "Azure.Cosmos.SLA": { type: account, path: "properties.enableFreeTier", ...isNotTrue },
  "Azure.Cosmos.PublicAccess": { type: account, path: "properties.publicNetworkAccess", holds: isOneOf("Disabled") },
  "Azure.Cosmos.ContinuousBackup": {
    type: account,
    path: "properties.backupPolicy.type",
    holds: isOneOf("Continuous"),
  },
  "Azure.Cosmos.AvailabilityZone": {
    type: account,
    path: "properties.locations",
    holds: each((location) => at(location, "isZoneRedundant") === true),
  },

  "Azure.AKS.ManagedIdentity": { type: cluster, path: "identity.type", holds: isOneOf("UserAssigned") },
  "Azure.AKS.UptimeSLA": { type: cluster, path: "sku.tier", holds: isOneOf("Standard") },
  "Azure.AKS.Name": {
    type: cluster,
    path: "name",
    holds: matches(/^(?=.{1,63}$)[A-Za-z\d][\w-]*[A-Za-z\d]$/),
    bad: "-",
  },
  "Azure.AKS.DNSPrefix": {
    type: cluster,
    path: "properties.dnsPrefix",
    holds: (prefix) => typeof prefix === "string" && matches(/^(?=.{1,54}$)[A-Za-z\d](-*[A-Za-z\d])*$/)(prefix),
  },
  "Azure.AKS.UseRBAC": { type: cluster, path: "properties.enableRBAC", holds: isTrue },
  "Azure.AKS.ManagedAAD": { type: cluster, path: "properties.aadProfile.managed", holds: isTrue },
  "Azure.AKS.AzureRBAC": { type: cluster, path: "properties.aadProfile.enableAzureRBAC", holds: isTrue },
  "Azure.AKS.LocalAccounts": { type: cluster, path: "properties.disableLocalAccounts", holds: isTrue },
  "Azure.AKS.AuthorizedIPs": {
    type: cluster,
    path: "properties.apiServerAccessProfile.authorizedIPRanges",
    holds: each(() => true),
  },
  "Azure.AKS.NetworkPolicy": {
    type: cluster,
    path: "properties.networkProfile.networkPolicy",
    holds: isOneOf("azure", "calico", "cilium"),
  },
  "Azure.AKS.StandardLB": {
    type: cluster,
    path: "properties.networkProfile.loadBalancerSku",
    holds: isOneOf("standard"),
  },
  "Azure.AKS.AzurePolicyAddOn": { type: cluster, path: "properties.addonProfiles.azurepolicy.enabled", holds: isTrue },
  "Azure.AKS.SecretStore": {
    type: cluster,
    path: "properties.addonProfiles.azureKeyvaultSecretsProvider.enabled",
    holds: isTrue,
  },
  "Azure.AKS.SecretStoreRotation": {
    type: cluster,
    path: "properties.addonProfiles.azureKeyvaultSecretsProvider.config.enableSecretRotation",
    holds: isOneOf("true"),
  },
  "Azure.AKS.HttpAppRouting": {
    type: cluster,
    path: "properties.addonProfiles.httpApplicationRouting",
    holds: (addon) => at(addon, "enabled") !== true,
    bad: { enabled: true },
  },
  "Azure.AKS.ContainerInsights": {
    type: cluster,
    path: "properties.addonProfiles.omsagent.enabled",
    holds: isTrue,
  },
  "Azure.AKS.DefenderProfile": {
    type: cluster,
    path: "properties.securityProfile.defender.securityMonitoring.enabled",
    holds: isTrue,
  },
  "Azure.AKS.AutoUpgrade": {
    type: cluster,
    path: "properties.autoUpgradeProfile.upgradeChannel",
    holds: isOneOf("rapid", "stable", "patch", "node-image"),
  },
  "Azure.AKS.Version": {
    type: cluster,
    path: "properties.autoUpgradeProfile.upgradeChannel",
    holds: isOneOf("rapid", "stable"),
  },
  "Azure.AKS.NodeAutoUpgrade": {
    type: cluster,
    path: "properties.autoUpgradeProfile.nodeOSUpgradeChannel",
    holds: isOneOf("NodeImage", "SecurityPatch"),
  },
  "Azure.AKS.MaintenanceWindow": {
    type: cluster,
    path: "children",
    holds: (children) =>
      ["aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"].every((schedule) =>
        namesOf(children).some((name) => name.endsWith(`/${schedule}`)),
      ),
  },
  "Azure.AKS.AuditLogs": {
    type: cluster,
    path: "children",
    holds: hasLogs([
      ["guard", "kube-audit"],
      ["guard", "kube-audit-admin"],
    ]),
  },
  "Azure.AKS.AuditAdmin": {
    type: cluster,
    path: "children",
    holds: (children) => !hasLogs([["kube-audit"]])(children),
    bad: [
      {
        type: "Microsoft.Insights/diagnosticSettings",
        properties: { logs: [{ category: "kube-audit", enabled: true }] },
      },
    ],
  },
  "Azure.AKS.PlatformLogs": {
    type: cluster,
    path: "children",
    holds: hasLogs([["cluster-autoscaler", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]]),
  },
  "Azure.AKS.MinNodeCount": { type: cluster, path: "properties.agentPoolProfiles", holds: hasNodes("System", 3) },
  "Azure.AKS.MinUserPoolNodes": { type: cluster, path: "properties.agentPoolProfiles", holds: hasNodes("User", 3) },
  "Azure.AKS.AutoScaling": {
    type: cluster,
    path: "properties.agentPoolProfiles",
    holds: each((pool) => at(pool, "enableAutoScaling") === true),
  },
  "Azure.AKS.AvailabilityZone": {
    type: cluster,
    path: "properties.agentPoolProfiles",
    // A list of zones, or an expression that picks them in Azure.
    holds: each((pool) => String(at(pool, "availabilityZones") ?? "") !== ""),
  },
  "Azure.AKS.PoolScaleSet": {
    type: cluster,
    path: "properties.agentPoolProfiles",
    holds: each((pool) => at(pool, "type") === "VirtualMachineScaleSets"),
  },
  "Azure.AKS.PoolVersion": {
    type: cluster,
    path: "properties.agentPoolProfiles",
    holds: each((pool) => at(pool, "orchestratorVersion") === undefined),
    bad: [{ orchestratorVersion: "1.30" }],
  },
  "Azure.AKS.NodeMinPods": {
    type: cluster,
    path: "properties.agentPoolProfiles",
    holds: each((pool) => Number(at(pool, "maxPods")) >= 50),
  },
  "Azure.AKS.EphemeralOSDisk": {
    type: cluster,
    path: "properties.agentPoolProfiles",
    holds: each((pool) => isOneOf("undefined", "Ephemeral")(at(pool, "osDiskType"))),
    bad: [{ osDiskType: "Managed" }],
  },

  "Azure.Group.Name": {
    type: "Microsoft.Resources/resourceGroups",
    path: "name",
    holds: matches(/^[\w().-]{0,89}[\w()-]$/),
    bad: "ends-with.",
  },
  "Azure.Identity.UserAssignedName": {
    type: "Microsoft.ManagedIdentity/userAssignedIdentities",
    path: "name",
    holds: matches(/^[A-Za-z\d][\w-]{2,127}$/),
    bad: "-",
  },
  "Azure.Log.Name": {
    type: "Microsoft.OperationalInsights/workspaces",
    path: "name",
    holds: matches(/^[A-Za-z\d][A-Za-z\d-]{2,61}[A-Za-z\d]$/),
    bad: "-",
  },
  "Azure.Log.Replication": {
    type: "Microsoft.OperationalInsights/workspaces",
    path: "properties.replication",
    holds: (replication) => at(replication, "enabled") === true && Boolean(at(replication, "location")),
  },
  "Azure.AppInsights.Name": {
    type: "Microsoft.Insights/components",
    path: "name",
    holds: matches(/^[\w.()-]{0,254}[\w()-]$/),
    bad: "ends-with.",
  },
  "Azure.AppInsights.Workspace": {
    type: "Microsoft.Insights/components",
    path: "properties.WorkspaceResourceId",
    holds: Boolean,
  },
  "Azure.AppInsights.LocalAuth": {
    type: "Microsoft.Insights/components",
    path: "properties.DisableLocalAuth",
    holds: isTrue,
  },
  "Azure.VNET.Name": { type: network, path: "name", holds: matches(/^[A-Za-z\d][\w.-]{0,62}\w$/), bad: "-" },
  "Azure.VNET.SubnetName": {
    type: network,
    path: "subnets",
    holds: each((subnet) => /(^|\/)[A-Za-z\d]([-.]*\w){0,79}$/.test(String(at(subnet, "name")))),
    bad: [{ name: "-" }],
  },
  "Azure.VNET.UseNSGs": {
    type: network,
    path: "subnets",
    holds: each((subnet) => Boolean(at(subnet, "properties.networkSecurityGroup.id"))),
  },
  "Azure.VNET.PrivateSubnet": {
    type: network,
    path: "subnets",
    holds: each(
      (subnet) =>
        at(subnet, "properties.delegations") !== undefined || at(subnet, "properties.defaultOutboundAccess") === false,
    ),
  },
  "Azure.PrivateEndpoint.Name": {
    type: "Microsoft.Network/privateEndpoints",
    path: "name",
    holds: matches(/^[A-Za-z\d][\w.-]{0,62}\w$/),
    bad: "-",
  },
  "Azure.Policy.AssignmentDescriptors": {
    type: "Microsoft.Authorization/policyAssignments",
    path: "properties",
    holds: (properties) => Boolean(at(properties, "displayName") && at(properties, "description")),
  },
  "Azure.Policy.AssignmentAssignedBy": {
    type: "Microsoft.Authorization/policyAssignments",
    path: "properties.metadata.assignedBy",
    holds: Boolean,
  },
};

/** Puts 13 characters in place of uniqueString in `[format('kv-{0}', uniqueString(…))]`. Other names stay the same. */
function fullName(name: string): string {
  const [, format] = /^\[format\('([^']*\{0\})', uniqueString\(.*\)\)\]$/.exec(name) ?? [];
  return format?.replace("{0}", "abcdefghijklm") ?? name;
}

function namesOf(children: unknown): string[] {
  return Array.isArray(children) ? children.map((child) => String(at(child, "name"))) : [];
}

/** Whether diagnostic settings send all categories of one of the sets, or one of the groups. */
function hasLogs(sets: readonly (readonly string[])[], groups: readonly string[] = []) {
  return (children: unknown): boolean => {
    const settings = Array.isArray(children)
      ? children.filter((child) => at(child, "type") === "Microsoft.Insights/diagnosticSettings")
      : [];
    const logs = settings.flatMap((setting) => listAt(setting, "properties.logs")).filter((log) => at(log, "enabled"));
    const has = (name: string) => logs.some((log) => at(log, "category") === name || at(log, "categoryGroup") === name);
    return groups.some(has) || sets.some((set) => set.every(has));
  };
}

/** Whether the pools of a mode have so many nodes in total when they are idle. */
function hasNodes(mode: string, minimum: number) {
  return (pools: unknown): boolean =>
    Array.isArray(pools) &&
    pools
      .filter((pool) => at(pool, "mode") === mode)
      .reduce((sum: number, pool) => sum + Number(at(pool, "minCount")), 0) >= minimum;
}
