// The lock of a run, and the last look before a write.
import type { App, Azure } from "./azure/azure.ts";
import type { Clock } from "./clock.ts";
import type { Definition } from "./definition.ts";
import { leastTimeLeft, lockLifetime, lockOf, lockPause, withLock, withoutLock } from "./lock.ts";
import { isSameTable, tableOf } from "./table.ts";
import { releaseTag } from "./tags.ts";

interface Guarded {
  readonly definition: Definition;
  readonly azure: Azure;
  readonly clock: Clock;
  readonly owner: string;
}

/** Between the look at a free lock and the write that takes it. Two runs then see which write came last. */
const quick = 5_000;

export const ownsLock = ({ azure, owner }: Guarded, { tags }: App) => lockOf(tags, azure.now())?.owner === owner;

/** Whether this run may write: the lock is its own, and for long enough. */
export function hasLock({ azure, owner }: Guarded, { tags }: App): boolean {
  const lock = lockOf(tags, azure.now());
  return lock?.owner === owner && lock.expiry - azure.now() >= leastTimeLeft;
}

/** Takes the lock if it is free and the app does not change. Whether that worked shows in the next look. */
export async function takeLock(guarded: Guarded, seen: App): Promise<void> {
  const { azure, clock, owner } = guarded;
  await clock.sleep(lockPause);
  const start = clock.now();
  const app = await azure.readApp();
  const isFree = lockOf(app.tags, azure.now()) === undefined || ownsLock(guarded, app);
  if (!isFree || !isUnchanged(guarded, seen, app) || clock.now() - start > quick) return;
  await azure.patch({ tags: withLock(app.tags, owner, azure.now()) });
  await clock.sleep(lockPause);
}

/** Renews the lock of this run when less than half of the time is left that it needs. */
export async function renewLock(guarded: Guarded, app: App, lifetime = lockLifetime): Promise<void> {
  const { azure, owner } = guarded;
  const lock = lockOf(app.tags, azure.now());
  if (app.isBusy || lock?.owner !== owner || lock.expiry - azure.now() >= lifetime / 2) return;
  const fresh = await azure.readApp();
  if (!ownsLock(guarded, fresh) || !isUnchanged(guarded, app, fresh)) return;
  await azure.patch({ tags: withLock(fresh.tags, owner, azure.now(), lifetime) });
}

export async function dropLock(guarded: Guarded): Promise<void> {
  const app = await guarded.azure.readApp();
  if (ownsLock(guarded, app)) await guarded.azure.patch({ tags: withoutLock(app.tags) });
}

/**
 * Reads the app once more right before a write, because Azure has no conditional writes.
 *
 * @returns undefined if it has changed since the look, or the lock is not that of this run
 */
export async function mayWrite(guarded: Guarded, seen: App, needsLock: boolean): Promise<App | undefined> {
  const app = await guarded.azure.readApp();
  return (!needsLock || hasLock(guarded, app)) && isUnchanged(guarded, seen, app) ? app : undefined;
}

function isUnchanged({ definition: { labels } }: Guarded, seen: App, app: App): boolean {
  return (
    seen.mode === app.mode &&
    seen.tags[releaseTag] === app.tags[releaseTag] &&
    isSameTable(tableOf(seen, labels), tableOf(app, labels))
  );
}
