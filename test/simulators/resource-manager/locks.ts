// Locks: https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources
import { ArmFault } from "./faults.ts";
import type { Store } from "./store.ts";

const type = "Microsoft.Authorization/locks";

/** @throws ArmFault when a lock is at the deleted scope, above or below it. A lock does not protect locks. */
export function checkLocks(id: string, store: Store): void {
  const [subscription = ""] = /^\/subscriptions\/[^/]+/i.exec(id) ?? [];
  const isOrContains = (scope: string, other: string) =>
    `${other}/`.toLowerCase().startsWith(`${scope}/`.toLowerCase());
  const locked = store
    .list(subscription, type)
    .filter((lock) => lock.id.toLowerCase() !== id.toLowerCase())
    .map((lock) => lock.id.slice(0, lock.id.lastIndexOf(`/providers/${type}`)))
    .filter((scope) => isOrContains(scope, id) || isOrContains(id, scope));
  if (locked.length === 0 || store.find(id)?.type === type) return;
  // https://github.com/Azure-Player/azure.datafactory.devops/issues/183
  const message = `The scope '${id}' cannot perform delete operation because following scope(s) are locked: '${locked.join("','")}'. Please remove the lock and try again.`;
  throw new ArmFault(409, "ScopeLocked", message);
}
