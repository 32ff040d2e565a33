// The provider Microsoft.ContainerService: a cluster's PUT needs the roles of its identity in effect, and a count of
// nodes for each new pool. Its deletion needs the role on a private DNS zone, from which it removes record and link.
import { randomUUID } from "node:crypto";
import { at, listAt } from "../../support/at.ts";
import { ArmFault } from "./faults.ts";
import type { Json } from "./json.ts";
import type { RoleAssignments } from "./role-assignments.ts";
import type { Complete, Resource, Store } from "./store.ts";

export function completeManagedCluster(assignments: RoleAssignments): Complete {
  return (cluster, store) => {
    const { id, properties } = cluster;
    const { identity, principalId } = describeIdentity(cluster, store);
    const kubelet = at(properties, "identityProfile.kubeletidentity.resourceId");
    // https://github.com/Azure/azure-service-operator/issues/3267
    if (kubelet && !assignments.has(principalId, "Managed Identity Operator", String(kubelet), store)) {
      const message = `The cluster using user-assigned managed identity must be granted 'Managed Identity Operator' role to assign kubelet identity. You can run 'az role assignment create --assignee <control-plane-identity-principal-id> --role 'Managed Identity Operator' --scope <kubelet-identity-resource-id>' to grant the permission.`;
      throw new ArmFault(400, "CustomKubeletIdentityMissingPermissionError", message);
    }
    const zone = String(at(properties, "apiServerAccessProfile.privateDNSZone") ?? "");
    // https://github.com/Azure/terraform-azurerm-caf-enterprise-scale/issues/900
    if (zone.startsWith("/") && !assignments.has(principalId, "Private DNS Zone Contributor", zone, store)) {
      const message = `Service principal or user-assigned identity must be given permission to read and write to custom private dns zone ${zone}. Check access result not allowed for action Microsoft.Network/privateDnsZones/write.`;
      throw new ArmFault(400, "CustomPrivateDNSZoneMissingPermissionError", message);
    }
    const old = store.find(id);
    if (zone.startsWith("/")) writeZone(cluster, zone, store);
    return {
      ...cluster,
      ...identity,
      properties: {
        ...properties,
        ...describeHost(cluster, zone),
        ...describe(old, properties),
        ...countNodes(old, properties),
      },
    };
  };
}

/**
 * Removes what a cluster wrote into a private DNS zone, before its deletion. The deletion of its resource group does
 * not do so: Azure may delete the identity before the cluster.
 *
 * @throws ArmFault 403 when the identity or its role is gone. Azure's code for that is not known.
 */
export function leaveZone(cluster: Resource, store: Store, assignments: RoleAssignments): void {
  const zone = String(at(cluster, "properties.apiServerAccessProfile.privateDNSZone") ?? "");
  if (!zone.startsWith("/")) return;
  const { principalId } = describeIdentity(cluster, store);
  // https://github.com/Azure/AKS/issues/2121
  if (!assignments.has(principalId, "Private DNS Zone Contributor", zone, store)) {
    const message = `privateDNSVNetLinkReconciler retry failed: the identity of the cluster may not write to ${zone}.`;
    throw new ArmFault(403, "AuthorizationFailed", message);
  }
  store.remove(`${zone}/A/${cluster.name}`);
  store.remove(`${zone}/virtualNetworkLinks/${cluster.name}`);
}

/** The private name of the API server in a zone of its own. Azure adds a hash to the name of the cluster. */
function describeHost({ name }: Resource, zone: string) {
  return zone.startsWith("/") ? { privateFqdn: `${name}.${zone.split("/").at(-1)}` } : {};
}

/** The record of the API server, and a link to the network of the nodes, unless the network has one. */
function writeZone({ name, properties }: Resource, zone: string, store: Store): void {
  store.put(`${zone}/A/${name}`, { properties: { ttl: 300, aRecords: [{ ipv4Address: "10.1.0.4" }] } });
  const [network = ""] = String(at(properties, "agentPoolProfiles.0.vnetSubnetID") ?? "").split("/subnets/");
  const isLinked = store
    .list(zone, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    .some((link) => String(at(link, "properties.virtualNetwork.id")).toLowerCase() === network.toLowerCase());
  if (isLinked) return;
  store.put(`${zone}/virtualNetworkLinks/${name}`, {
    properties: { registrationEnabled: false, virtualNetwork: { id: network } },
  });
}

/** Azure returns the ids of each user-assigned identity. @returns them, and the principal id of the first identity */
function describeIdentity(cluster: Resource, store: Store) {
  const ids = Object.keys(at(cluster, "identity.userAssignedIdentities") ?? {});
  const described = ids.map((id) => [id, pick(store.find(id)?.properties)] as const);
  const principalId = described[0]?.[1].principalId;
  if (ids.length === 0) return { identity: {}, principalId };
  const userAssignedIdentities = Object.fromEntries(described);
  return { identity: { identity: { ...Object(cluster.identity), userAssignedIdentities } }, principalId };
}

function pick({ clientId, principalId }: Json = {}) {
  return { clientId, principalId };
}

/** A pool without a count keeps its nodes. @throws ArmFault 400 for a new pool without one, or with too few */
function countNodes(old: Resource | undefined, properties: Json) {
  if (!properties.agentPoolProfiles) return {};
  const pools = (cluster: Json) => (cluster.agentPoolProfiles ? listAt(cluster, "agentPoolProfiles") : []);
  const before = new Map(pools(old?.properties ?? {}).map((pool) => [at(pool, "name"), pool]));
  const agentPoolProfiles = pools(properties).map((pool) => {
    const count = at(pool, "count") ?? at(before.get(at(pool, "name")), "count");
    const minimum = Number(at(pool, "minCount") ?? 1);
    // https://github.com/Azure/terraform-azurerm-avm-res-containerservice-managedcluster/issues/184
    if (typeof count !== "number") {
      const message = "Required parameter agentPoolProfile.count is missing (null).";
      throw new ArmFault(400, "InvalidParameter", message);
    }
    // https://github.com/kubernetes-sigs/cluster-api-provider-azure/issues/5947
    if (count < minimum) {
      const message = `agentPoolProfile.count was ${count}. It must be greater or equal to minCount:${minimum} and less than or equal to maxCount:${at(pool, "maxCount") ?? 1000}.`;
      throw new ArmFault(400, "InvalidParameter", message);
    }
    return { ...Object(pool), count };
  });
  return { agentPoolProfiles };
}

/** The identities that AKS creates in the resource group of the nodes, also one for each add-on, and the issuer. */
function describe(old: Resource | undefined, { oidcIssuerProfile, addonProfiles }: Json) {
  const create = () => ({ clientId: randomUUID(), objectId: randomUUID() });
  const addOns = Object.entries(Object(addonProfiles) as Record<string, object>).map(([name, profile]) => {
    const identity = at(old, `properties.addonProfiles.${name}.identity`) ?? create();
    return [name, at(profile, "enabled") === true ? { ...profile, identity } : profile];
  });
  return {
    oidcIssuerProfile: { ...Object(oidcIssuerProfile), issuerURL: "https://simulator.oic.prod-aks.azure.com/" },
    servicePrincipalProfile: { clientId: "msi" },
    identityProfile: old?.properties.identityProfile ?? { kubeletidentity: create() },
    addonProfiles: Object.fromEntries(addOns),
  };
}
