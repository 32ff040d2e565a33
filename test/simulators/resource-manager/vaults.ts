// The provider Microsoft.KeyVault: a deleted vault keeps its name until it is purged, or its retention ends.
// https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import type { Clock } from "./clock.ts";
import { ArmFault } from "./faults.ts";
import type { Operations } from "./operations.ts";
import type { Complete, Resource } from "./store.ts";

export interface Vaults {
  readonly complete: Complete;
  /** Keeps the vaults among removed resources. */
  keepDeleted(removed: readonly Resource[]): void;
  /** Lists, shows and purges deleted vaults. Returns undefined when the request is for anything else. */
  handle(request: AzureRequest, path: string, operations: Operations): AzureResponse | undefined;
}

interface Deleted {
  readonly vault: Resource;
  readonly secrets: readonly Resource[];
  /** On the virtual clock. */
  readonly at: number;
}

const day = 86_400;

export function createVaults(clock: Clock): Vaults {
  const kept = new Map<string, Deleted>();
  const endOf = ({ vault, at }: Deleted) => at + Number(vault.properties.softDeleteRetentionInDays ?? 90) * day;
  const find = (name: string) => {
    const deleted = kept.get(name.toLowerCase());
    return deleted && endOf(deleted) > clock.now ? deleted : undefined;
  };

  return {
    complete(vault, store) {
      const { createMode, ...properties } = vault.properties;
      const deleted = find(vault.name);
      const vaultUri = `https://${vault.name}.vault.azure.net/`;
      if (!deleted) return { ...vault, properties: { ...properties, vaultUri } };
      if (createMode !== "recover") {
        // https://github.com/alan-turing-institute/data-safe-haven/issues/2523
        const message = `A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.`;
        throw new ArmFault(409, "ConflictError", message);
      }
      kept.delete(vault.name.toLowerCase());
      for (const secret of deleted.secrets) store.put(secret.id, secret);
      return deleted.vault;
    },

    keepDeleted(removed) {
      for (const vault of removed.filter(({ type }) => type === "Microsoft.KeyVault/vaults")) {
        const secrets = removed.filter(
          ({ id, type }) => id.startsWith(`${vault.id}/`) && /^Microsoft.KeyVault/.test(type),
        );
        kept.set(vault.name.toLowerCase(), { vault, secrets, at: clock.now });
      }
    },

    handle({ method, url }, path, operations) {
      const [, subscription, location, name, action] =
        /^(\/subscriptions\/[^/]+)\/providers\/Microsoft\.KeyVault(?:\/locations\/([^/]+))?\/deletedVaults(?:\/([^/]+))?(?:\/(purge))?$/i.exec(
          path,
        ) ?? [];
      if (subscription === undefined) {
        return /\/providers\/Microsoft\.KeyVault\/deletedManagedHSMs$/i.test(path) ? ok({ value: [] }) : undefined;
      }
      const describe = (deleted: Deleted) => ({
        id: `${subscription}/providers/Microsoft.KeyVault/locations/${deleted.vault.location}/deletedVaults/${deleted.vault.name}`,
        name: deleted.vault.name,
        type: "Microsoft.KeyVault/deletedVaults",
        properties: {
          vaultId: deleted.vault.id,
          location: deleted.vault.location,
          deletionDate: new Date(deleted.at * 1000).toISOString(),
          scheduledPurgeDate: new Date(endOf(deleted) * 1000).toISOString(),
          purgeProtectionEnabled: deleted.vault.properties.enablePurgeProtection === true,
        },
      });
      if (name === undefined) {
        return ok({ value: [...kept.keys()].flatMap((key) => find(key) ?? []).map(describe) });
      }
      const deleted = find(name);
      if (deleted?.vault.location !== location) {
        throw new ArmFault(404, "DeletedVaultNotFound", `The specified deleted vault '${name}' does not exist.`);
      }
      if (!deleted || action === undefined) return deleted && ok(describe(deleted));
      if (method !== "POST" || deleted.vault.properties.enablePurgeProtection) {
        // https://github.com/microsoft/AzureTRE/issues/1446
        throw new ArmFault(405, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.");
      }
      kept.delete(name.toLowerCase());
      return operations.accept(url);
    },
  };
}
