// The rules of the resource providers, and the properties that they add, as far as the infra tests and `az` read them.
import { randomUUID } from "node:crypto";
import { completeContainerApp, domain, type Surroundings } from "./container-apps.ts";
import { completeCertificate } from "./custom-domains.ts";
import type { Json } from "./json.ts";
import { completeManagedCluster } from "./managed-clusters.ts";
import type { Complete, Resource } from "./store.ts";

/** By resource type, in lower case. */
export function createProviders(
  surroundings: Surroundings,
  { vault, workspace, privateEndpoint }: Readonly<Record<"vault" | "workspace" | "privateEndpoint", Complete>>,
): Readonly<Record<string, Complete>> {
  return {
    "microsoft.app/containerapps": completeContainerApp(surroundings),
    "microsoft.app/managedenvironments": (environment) =>
      fill(environment, { defaultDomain: domain, staticIp: "203.0.113.20" }),
    "microsoft.app/managedenvironments/managedcertificates": completeCertificate,
    "microsoft.authorization/roleassignments": surroundings.assignments.complete,
    "microsoft.containerregistry/registries": (registry) =>
      fill(registry, { loginServer: `${registry.name}.azurecr.io` }),
    "microsoft.containerservice/managedclusters": completeManagedCluster(surroundings.assignments),
    "microsoft.documentdb/databaseaccounts": (account) =>
      fill(account, { documentEndpoint: `https://${account.name}.documents.azure.com:443/` }),
    "microsoft.insights/components": (component) =>
      fill(component, { ConnectionString: "InstrumentationKey=simulated-key" }),
    "microsoft.keyvault/vaults": vault,
    // An identity that is deleted and created again has the same id, but another principal.
    "microsoft.managedidentity/userassignedidentities": (identity, store) => {
      const { clientId, principalId } = store.find(identity.id)?.properties ?? {};
      return fill(identity, { clientId: clientId ?? randomUUID(), principalId: principalId ?? randomUUID() });
    },
    "microsoft.network/privateendpoints": privateEndpoint,
    "microsoft.operationalinsights/workspaces": workspace,
  };
}

/** Describes a provider. `az` requests the locations and API versions of a type before it creates a resource. */
export function describeProvider(id: string, namespace: string) {
  const resourceTypes = ["containerApps", "managedEnvironments"].map((resourceType) => ({
    resourceType,
    locations: ["West Europe"],
    apiVersions: ["2025-07-01"],
  }));
  return { id, namespace, registrationState: "Registered", resourceTypes };
}

function fill(resource: Resource, properties: Json): Resource {
  return { ...resource, properties: { ...resource.properties, ...properties } };
}
