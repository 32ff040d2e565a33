// The provider Microsoft.ContainerService: a cluster's PUT needs the roles of its identity in effect, and a count of
// nodes for each new pool.
import { randomUUID } from "node:crypto";
import { at, listAt } from "../../support/at.ts";
import { ArmFault } from "./faults.ts";
import type { Json } from "./json.ts";
import type { RoleAssignments } from "./role-assignments.ts";
import type { Complete, Resource } from "./store.ts";

export function completeManagedCluster(assignments: RoleAssignments): Complete {
  return (cluster, store) => {
    const { id, properties } = cluster;
    const [identityId = ""] = Object.keys(at(cluster, "identity.userAssignedIdentities") ?? {});
    const principalId = store.find(identityId)?.properties.principalId;
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
    return { ...cluster, properties: { ...properties, ...describe(old, properties), ...countNodes(old, properties) } };
  };
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
