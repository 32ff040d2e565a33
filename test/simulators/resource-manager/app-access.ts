// What a container app may read: its image from a registry, and its secrets from Key Vault.
import { describeField, provisioningFault } from "./app-faults.ts";
import type { Configuration, Surroundings, Template } from "./container-apps.ts";
import { ArmFault } from "./faults.ts";
import type { RoleAssignments } from "./role-assignments.ts";
import type { Resource, Store } from "./store.ts";

export type Secrets = readonly {
  readonly name: string;
  readonly value?: string;
  readonly keyVaultUrl?: string;
  readonly identity?: string;
}[];

/** Checks that the image exists and the identity can pull it, when its registry is one of the subscription. */
export function checkPull(
  app: Resource,
  { containers = [] }: Template,
  { registries = [] }: Configuration,
  surroundings: Surroundings,
  store: Store,
): void {
  for (const { name, image } of containers) {
    const server = image.split("/")[0] ?? "";
    const registry = findOfAll(app, "Microsoft.ContainerRegistry/registries", store).find(
      ({ properties }) => properties.loginServer === server,
    );
    if (!registry) continue;
    const identity = registries.find((item) => item.server === server)?.identity ?? "";
    const field = `template.containers.${name}.image`;
    if (!surroundings.assignments.has(principalOf(identity, store), "AcrPull", registry.id, store)) {
      // https://github.com/microsoft/azure-container-apps/issues/1061
      const details = `Invalid value: "${image}": unable to pull image using Managed identity ${identity} for registry ${server}`;
      throw provisioningFault(app, field, details);
    }
    if (!surroundings.registries.hasImage(image)) {
      const tag = image.split(":").at(-1);
      const details = `Invalid value: "${image}": GET https://${server}/v2/…: MANIFEST_UNKNOWN: manifest tagged by "${tag}" is not found`;
      throw provisioningFault(app, field, details);
    }
  }
}

/** Checks that the identities can read the secrets that are references to Key Vault. */
export function checkSecrets(app: Resource, secrets: Secrets, assignments: RoleAssignments, store: Store): void {
  for (const { name, keyVaultUrl, identity = "" } of secrets) {
    const [, vault, secret] = /^https:\/\/([^.]+)\.vault\.azure\.net\/secrets\/([^/]+)/.exec(keyVaultUrl ?? "") ?? [];
    if (!secret) continue;
    const found = findOfAll(app, "Microsoft.KeyVault/vaults/secrets", store).find(({ id }) =>
      id.toLowerCase().endsWith(`/vaults/${vault}/secrets/${secret}`.toLowerCase()),
    );
    if (found && assignments.has(principalOf(identity, store), "Key Vault Secrets User", found.id, store)) continue;
    // https://github.com/microsoft/azure-container-apps/issues/1159
    const details = `Invalid value: "${name}": Unable to get value using Managed identity ${identity} for secret ${name}. Error: unable to fetch secret '${name}' using Managed identity '${identity}'`;
    throw new ArmFault(
      400,
      "InvalidParameterValueInContainerTemplate",
      describeField("configuration.secrets", details),
    );
  }
}

function principalOf(identity: string, store: Store): unknown {
  return store.find(identity)?.properties.principalId;
}

function findOfAll({ id }: Resource, type: string, store: Store): Resource[] {
  return store.list(/^\/subscriptions\/[^/]+/i.exec(id)?.[0] ?? "", type);
}
