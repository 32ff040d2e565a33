// The lock of a run, and the last look before a write.

import { type App, type Azure, AzureFault } from "../azure/azure.ts";
import type { Write } from "../core/action.ts";
import { leastTimeLeft, lockLifetime, lockOf, lockPause, withLock, withoutLock } from "../core/lock.ts";
import { isSameTable, tableOf } from "../core/table.ts";
import { releaseTag } from "../core/tags.ts";
import type { Definition } from "../definition/definition.ts";
import type { Clock } from "./clock.ts";

interface Guarded {
  readonly definition: Definition;
  readonly azure: Azure;
  readonly clock: Clock;
  readonly owner: string;
}

/** From the start of the last read to the write that is based on it. Later, the app may have changed. */
const quick = 5_000;

/** A way back must also work when Azure is slow. Meanwhile, no other run takes the lock of this one. */
const slow = 30_000;

/** The last look before a write. */
export interface Fresh {
  readonly app: App;
  /**
   * To call right before the request is sent: a computer can sleep, or a sign-in take long, after the read. The clock
   * is the one that goes on meanwhile: a monotonic one stands still while a computer sleeps.
   *
   * @throws AzureFault when the read is too old
   */
  readonly check: () => void;
}

async function readFresh({ azure, clock }: Guarded, limit = quick): Promise<Fresh> {
  const start = clock.now();
  const app = await azure.readApp();
  const check = () => {
    const age = clock.now() - start;
    if (age >= 0 && age <= limit) return;
    throw new AzureFault(
      "busy",
      `A change was not sent, because the look at the app before it was ${age / 1000} s old`,
    );
  };
  return { app, check };
}

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
  const { app, check } = await readFresh(guarded);
  const isFree = lockOf(app.tags, azure.now()) === undefined || ownsLock(guarded, app);
  if (!isFree || !isUnchanged(guarded, seen, app)) return;
  await azure.patch({ tags: withLock(app.tags, owner, azure.now()) }, check);
  await clock.sleep(lockPause);
}

/** Renews the lock of this run when less than half of the time is left that it needs. */
export async function renewLock(guarded: Guarded, app: App, lifetime = lockLifetime): Promise<void> {
  const { azure, owner } = guarded;
  const lock = lockOf(app.tags, azure.now());
  if (app.isBusy || lock?.owner !== owner || lock.expiry - azure.now() >= lifetime / 2) return;
  const { app: fresh, check } = await readFresh(guarded);
  if (!ownsLock(guarded, fresh) || !isUnchanged(guarded, app, fresh)) return;
  await azure.patch({ tags: withLock(fresh.tags, owner, azure.now(), lifetime) }, check);
}

export async function dropLock(guarded: Guarded): Promise<void> {
  const { app, check } = await readFresh(guarded);
  if (ownsLock(guarded, app)) await guarded.azure.patch({ tags: withoutLock(app.tags) }, check);
}

/**
 * Reads the app once more right before a write, because Azure has no conditional writes.
 *
 * @returns undefined if it has changed since the look, or the lock is not that of this run
 */
export async function mayWrite(
  guarded: Guarded,
  seen: App,
  needsLock: boolean,
  moves: Write["moves"],
): Promise<Fresh | undefined> {
  const fresh = await readFresh(guarded, moves === "back" ? slow : quick);
  return (!needsLock || hasLock(guarded, fresh.app)) && isUnchanged(guarded, seen, fresh.app) ? fresh : undefined;
}

function isUnchanged({ definition: { labels } }: Guarded, seen: App, app: App): boolean {
  return (
    seen.mode === app.mode &&
    seen.tags[releaseTag] === app.tags[releaseTag] &&
    isSameTable(tableOf(seen, labels), tableOf(app, labels)) &&
    // Traffic for a revision that somebody has stopped in the meantime would be lost.
    app.revisions.every(({ name, isActive }) => isActive === (find(seen, name)?.isActive ?? isActive))
  );
}

const find = ({ revisions }: App, wanted: string) => revisions.find(({ name }) => name === wanted);
