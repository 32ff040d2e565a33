// A virtual clock: hours of a release pass in milliseconds, as fast as those who sleep allow.
import type { Clock } from "../../../tools/release/run/clock.ts";

export interface VirtualClock extends Clock {
  /** Moves the time, and wakes everybody whose time has come. */
  advance(milliseconds: number): void;
  /** How many runners use the clock. When all of them sleep, the time jumps to the first one that wakes. */
  runners: number;
  /** Runs before the time jumps, and the jump waits for it: for users who send requests meanwhile. */
  whilePassing: ((from: number, to: number) => Promise<void>) | undefined;
}

/** @param start Milliseconds since 1970 */
export function createVirtualClock(start = Date.parse("2026-10-05T08:00:00Z")): VirtualClock {
  let now = start;
  let count = 1;
  let isJumping = false;
  let sleepers: { readonly at: number; readonly wake: () => void }[] = [];

  const takeFirst = () => {
    const [first] = sleepers.toSorted((a, b) => a.at - b.at);
    sleepers = sleepers.filter((sleeper) => sleeper !== first);
    return first;
  };
  /** Wakes one sleeper at a time, so that two runners take turns in the order of the time. */
  const jump = async () => {
    if (isJumping || sleepers.length < count) return;
    isJumping = true;
    const first = takeFirst();
    if (first && first.at > now) await clock.whilePassing?.(now, first.at);
    isJumping = false;
    now = Math.max(now, first?.at ?? now);
    first?.wake();
  };

  const clock: VirtualClock = {
    whilePassing: undefined,
    now: () => now,
    sleep(milliseconds) {
      const { promise, resolve } = Promise.withResolvers<void>();
      sleepers.push({ at: now + milliseconds, wake: resolve });
      setImmediate(jump);
      return promise;
    },
    advance(milliseconds) {
      const until = now + milliseconds;
      while (sleepers.some(({ at }) => at <= until)) {
        const first = takeFirst();
        now = Math.max(now, first?.at ?? now);
        first?.wake();
      }
      now = until;
    },
    get runners() {
      return count;
    },
    set runners(value) {
      count = value;
      setImmediate(jump);
    },
  };
  return clock;
}
