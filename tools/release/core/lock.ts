// Only one run at a time works on a release. Azure has no conditional writes, so the lock is a tag with an expiry, and
// its owner reads it back before it acts.
import { formatTime, lockTag, parseTime } from "./tags.ts";

type Tags = Readonly<Record<string, string>>;

export interface Lock {
  readonly owner: string;
  /** Milliseconds since 1970, by the clock of Azure. */
  readonly expiry: number;
}

export const lockLifetime = 5 * 60_000;

/** How long the app must not change before a run takes the lock, and after that. */
export const lockPause = 15_000;

/** A run whose lock expires sooner does not write: another run could take the lock before Azure has applied it. */
export const leastTimeLeft = 60_000;

/** Whether a tag has the form of a lock, also of one that has expired. */
export const isLockTag = (value: string) => parseLock(value) !== undefined;

function parseLock(value: string | undefined): Lock | undefined {
  const [, owner, time] = value?.match(/^(\S+) (\S+)$/) ?? [];
  const expiry = parseTime(time);
  return owner && expiry !== undefined ? { owner, expiry } : undefined;
}

/** @returns undefined if the lock is free */
export function lockOf(tags: Tags, now: number): Lock | undefined {
  const lock = parseLock(tags[lockTag]);
  return lock && lock.expiry > now ? lock : undefined;
}

export function withLock(tags: Tags, owner: string, now: number, lifetime = lockLifetime): Tags {
  return { ...tags, [lockTag]: `${owner} ${formatTime(now + lifetime)}` };
}

export function withoutLock(tags: Tags): Tags {
  const { [lockTag]: _, ...others } = tags;
  return others;
}
