// Role assignments of the provider Microsoft.Authorization, and when they take effect.
import type { Clock } from "./clock.ts";
import { ArmFault } from "./faults.ts";
import type { Complete, Resource, Store } from "./store.ts";

const type = "Microsoft.Authorization/roleAssignments";

/** Built-in roles: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles */
export const roles = {
  AcrPull: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
  "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
  "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
  "Managed Identity Operator": "f1a07417-d97a-45cb-824c-7a7467783830",
  "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
  "Private DNS Zone Contributor": "b12aa53e-6015-4669-85d0-8515ebb3ae7f",
  Reader: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
} as const;

export interface RoleAssignments {
  readonly complete: Complete;
  /** Whether a principal has a role at a scope or above it, and had it long enough for it to take effect. */
  has(principalId: unknown, role: keyof typeof roles, scope: string, store: Store): boolean;
}

/**
 * @param delay Seconds until an assignment takes effect. It can take up to ten minutes:
 * https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---role-assignment-changes-are-not-being-detected
 */
export function createRoleAssignments(clock: Clock, delay: number): RoleAssignments {
  return {
    complete(assignment, store) {
      const scope = scopeOf(assignment);
      const old = store.find(assignment.id);
      // https://github.com/MicrosoftDocs/azure-docs/issues/85388
      if (old && !isSameGrant(old, assignment)) {
        const message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
        throw new ArmFault(400, "RoleAssignmentUpdateNotPermitted", message);
      }
      // https://github.com/Azure/bicep/issues/19936
      const same = store.list(scope, type).find((other) => scopeOf(other) === scope && isSameGrant(other, assignment));
      if (same && !old) throw new ArmFault(409, "RoleAssignmentExists", "The role assignment already exists.");
      const createdOn = old?.properties.createdOn ?? new Date(clock.now * 1000).toISOString();
      return { ...assignment, properties: { ...assignment.properties, scope, createdOn } };
    },
    has(principalId, role, scope, store) {
      const [subscription = ""] = /^\/subscriptions\/[^/]+/i.exec(scope) ?? [];
      return store.list(subscription, type).some((assignment) => {
        const { properties } = assignment;
        const isAbove = `${scope}/`.toLowerCase().startsWith(`${scopeOf(assignment)}/`);
        const hasRole = properties.principalId === principalId && nameOf(properties.roleDefinitionId) === roles[role];
        return isAbove && hasRole && Date.parse(String(properties.createdOn)) / 1000 + delay <= clock.now;
      });
    },
  };
}

function isSameGrant({ properties: a }: Resource, { properties: b }: Resource): boolean {
  return a.principalId === b.principalId && nameOf(a.roleDefinitionId) === nameOf(b.roleDefinitionId);
}

function nameOf(roleDefinitionId: unknown): string | undefined {
  return String(roleDefinitionId).split("/").at(-1);
}

function scopeOf({ id }: Resource): string {
  return id.replace(/\/providers\/Microsoft\.Authorization\/roleAssignments\/[^/]+$/i, "").toLowerCase();
}
