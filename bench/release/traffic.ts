// Synthetic traffic. Each rule has the same luck in the same minute of the same release, whatever weight it has set.
import type { Counts } from "../../tools/release/core/judge.ts";
import { binomial, createRandom } from "./random.ts";

export interface Traffic {
  /** Requests to the app per second, at most 11. */
  readonly perSecond: number;
  /** Share of bad requests of the live version, for each check. */
  readonly base: readonly number[];
  /** How much larger the share of the new version is, for each check. */
  readonly worse: readonly number[];
  /** So many bad requests come together, as when a connection breaks. 1: each is bad by itself. */
  readonly clump?: number;
}

/** Requests of one minute, for each check. */
export interface Minute {
  readonly candidate: readonly Counts[];
  readonly stable: readonly Counts[];
}

export type Stream = ReturnType<typeof createStream>;

/** @returns the requests of a minute of one release, with the new version's weight in percent */
export function createStream({ perSecond, base, worse, clump = 1 }: Traffic, seed: number) {
  const shares = base.map((share, check) => share + (worse[check] ?? 0));
  return (minute: number, weight: number): Minute => {
    const random = createRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(minute + 1, 0x85ebca77));
    const all = binomial(perSecond * 60 * 1000, 0.001, random()); // as good as Poisson's distribution
    const total = binomial(all, weight / 100, random());
    const count = (requests: number, bad: readonly number[]) =>
      bad.map((share) => {
        const clumps = binomial(Math.ceil(requests / clump), share, random());
        return { bad: Math.min(requests, clump * clumps), total: requests };
      });
    return { candidate: count(total, shares), stable: count(all - total, base) };
  };
}
