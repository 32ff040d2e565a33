// The properties that resource providers add to new resources, as far as the infra tests and `az` read them.
import { createHash } from "node:crypto";
import { completeContainerApp, domain } from "./container-apps.ts";
import type { Complete, Resource } from "./store.ts";

/** By resource type, in lower case. */
export const providers: Readonly<Record<string, Complete>> = {
  "microsoft.app/containerapps": completeContainerApp,
  "microsoft.app/managedenvironments": (environment) => fill(environment, { defaultDomain: domain }),
  "microsoft.authorization/roleassignments": (assignment) =>
    fill(assignment, { scope: assignment.id.replace(/\/providers\/Microsoft\.Authorization\/.*/i, "") }),
  "microsoft.containerregistry/registries": (registry) =>
    fill(registry, { loginServer: `${registry.name}.azurecr.io` }),
  "microsoft.managedidentity/userassignedidentities": (identity) =>
    fill(identity, { clientId: makeUuid("client", identity.id), principalId: makeUuid("principal", identity.id) }),
};

/** Built-in roles: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles */
export const roles: Readonly<Record<string, string>> = {
  AcrPull: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
  "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
  Reader: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
};

/** Describes a provider. `az` requests the locations and API versions of a type before it creates a resource. */
export function describeProvider(id: string, namespace: string) {
  const resourceTypes = ["containerApps", "managedEnvironments"].map((resourceType) => ({
    resourceType,
    locations: ["West Europe"],
    apiVersions: ["2025-07-01"],
  }));
  return { id, namespace, registrationState: "Registered", resourceTypes };
}

function fill(resource: Resource, properties: Readonly<Record<string, string>>): Resource {
  return { ...resource, properties: { ...resource.properties, ...properties } };
}

/** Derives a UUID from its arguments, so that it is the same in every run. */
function makeUuid(...parts: string[]): string {
  const hash = createHash("sha256").update(parts.join(" ").toLowerCase()).digest("hex");
  return hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");
}
