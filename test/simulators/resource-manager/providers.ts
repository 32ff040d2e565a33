// What providers fill in when a resource is made, as far as something here reads it.
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

function fill(resource: Resource, properties: Readonly<Record<string, string>>): Resource {
  return { ...resource, properties: { ...resource.properties, ...properties } };
}

/** The same one every time. */
function makeUuid(...parts: string[]): string {
  const hash = createHash("sha256").update(parts.join(" ").toLowerCase()).digest("hex");
  return hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");
}
