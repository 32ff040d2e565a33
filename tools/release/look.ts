// What a state must be judged by, and what was seen of it.
import type { Definition, ProbeCheck, RatioCheck } from "./definition.ts";
import type { Counts } from "./judge.ts";
import type { Underway } from "./state.ts";
import type { TestResult } from "./test-revision.ts";

/** In milliseconds since 1970. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

interface CheckLook {
  readonly check: RatioCheck;
  readonly next: Window;
  readonly live: Window;
}

export interface Look {
  readonly counts: readonly CheckLook[];
  readonly probes: readonly ProbeCheck[];
  /** Replicas of the new revision, for their restarts. */
  readonly needsReplicas: boolean;
  /** Whether the new revision stays unhealthy. */
  readonly needsHealth: boolean;
}

export interface Seen {
  /** By name of the check. Without an entry, Azure had no answer. */
  readonly counts: ReadonlyMap<string, Sides>;
  /** Names of the checks whose probes all failed, while the live revision responded. */
  readonly failing: ReadonlySet<string>;
  /** Names of the checks whose probes all failed at both revisions. */
  readonly silent: ReadonlySet<string>;
  readonly restarts: number | undefined;
  /** The new revision was inactive, missing or unhealthy at each look of a minute. */
  readonly isUnhealthy: boolean;
  readonly tests: TestResult | undefined;
  /** What could not be seen, for a person. */
  readonly notes: readonly string[];
}

export interface Sides {
  readonly next: Counts;
  readonly live: Counts;
}

export const nothingSeen: Seen = {
  counts: new Map(),
  failing: new Set(),
  silent: new Set(),
  restarts: undefined,
  isUnhealthy: false,
  tests: undefined,
  notes: [],
};

/** Azure applies weights within seconds. Requests of the first ones still have the old weights. */
const settling = 30_000;
const minute = 60_000;

/** @param isSwapping the label of the new revision may be gone already: Azure still shows the bake */
export function lookAt(
  { checks }: Definition,
  { progress, next, isLost }: Underway,
  isSwapping: boolean,
  now: number,
): Look {
  const { phase } = progress;
  const isJudged = phase === "step" || phase === "bake";
  return {
    counts: isJudged && !isLost ? checks.filter((check) => check.source !== "probe").map(windows) : [],
    probes: isJudged && !isSwapping ? checks.filter((check) => check.source === "probe") : [],
    needsReplicas: next !== undefined && phase !== "back" && phase !== "swapped",
    needsHealth: isJudged || phase === "testing",
  };

  /** In the bake, the old revision has no requests: those of its last step count. */
  function windows(check: RatioCheck): CheckLook {
    const end = now - check.lag * 1000;
    const own = wholeMinutes(judgedFrom(progress), end);
    if (phase === "step") return { check, next: own, live: own };
    const base = progress.base ?? progress.since;
    return { check, next: own, live: wholeMinutes(base + settling, Math.min(progress.since, end)) };
  }
}

/** The first whole minute whose requests have the weights of the phase. */
export const judgedFrom = ({ since }: Underway["progress"]) => Math.ceil((since + settling) / minute) * minute;

/** Azure counts by whole minutes. The window may be empty. */
function wholeMinutes(from: number, to: number): Window {
  const start = Math.ceil(from / minute) * minute;
  return { from: start, to: Math.max(start, Math.floor(to / minute) * minute) };
}
