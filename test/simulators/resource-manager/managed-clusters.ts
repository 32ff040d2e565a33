// The provider Microsoft.ContainerService: a cluster's PUT needs the roles of its identity in effect.
import { randomUUID } from "node:crypto";
import { at } from "../../support/at.ts";
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
    return { ...cluster, properties: { ...properties, ...describe(store.find(id), properties) } };
  };
}

/** The identities that AKS creates in the resource group of the nodes, and the issuer of the tokens. */
function describe(old: Resource | undefined, { oidcIssuerProfile }: Json) {
  const create = () => ({ clientId: randomUUID(), objectId: randomUUID() });
  const { identityProfile, addonProfiles } = old?.properties ?? {};
  return {
    oidcIssuerProfile: { ...Object(oidcIssuerProfile), issuerURL: "https://simulator.oic.prod-aks.azure.com/" },
    identityProfile: identityProfile ?? { kubeletidentity: create() },
    addonProfiles: addonProfiles ?? {
      azureKeyvaultSecretsProvider: { enabled: true, identity: create() },
      azurepolicy: { enabled: true, identity: create() },
    },
  };
}
