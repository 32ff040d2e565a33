// The provider Microsoft.OperationalInsights: a deleted workspace keeps its name, and its region, for 14 days. A
// workspace of that name in the same region is the deleted one: it is recovered.
// https://learn.microsoft.com/azure/azure-monitor/logs/delete-workspace
import { randomUUID } from "node:crypto";
import type { Clock } from "./clock.ts";
import { ArmFault } from "./faults.ts";
import type { Complete, Resource } from "./store.ts";

export interface Workspaces {
  readonly complete: Complete;
  /** Keeps the workspaces among removed resources. */
  keepDeleted(removed: readonly Resource[]): void;
}

const retention = 14 * 86_400;

export function createWorkspaces(clock: Clock): Workspaces {
  const kept = new Map<string, { readonly workspace: Resource; readonly at: number }>();
  return {
    complete(workspace, store) {
      const { workspace: deleted, at = 0 } = kept.get(workspace.id.toLowerCase()) ?? {};
      const isKept = deleted !== undefined && at + retention > clock.now;
      if (isKept && deleted.location !== workspace.location) {
        // https://github.com/Azure/azure-cli/issues/11916
        throw new ArmFault(409, "Conflict", `The workspace name '${workspace.name}' is not unique`);
      }
      kept.delete(workspace.id.toLowerCase());
      const { customerId } = (store.find(workspace.id) ?? (isKept ? deleted : undefined))?.properties ?? {};
      return { ...workspace, properties: { ...workspace.properties, customerId: customerId ?? randomUUID() } };
    },
    keepDeleted(removed) {
      for (const workspace of removed.filter(({ type }) => type === "Microsoft.OperationalInsights/workspaces")) {
        kept.set(workspace.id.toLowerCase(), { workspace, at: clock.now });
      }
    },
  };
}
