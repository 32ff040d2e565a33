// What a state must be judged by, and what was seen of it.

import { type Definition, type ProbeCheck, type RatioCheck, ratioChecks } from "../definition/definition.ts";
import type { TestResult } from "../run/test-revision.ts";
import { slowLook } from "./action.ts";
import type { Counts } from "./judge.ts";
import type { Underway } from "./state.ts";
import type { Phase } from "./tags.ts";

/** In milliseconds since 1970. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface CheckLook {
  readonly check: RatioCheck;
  readonly next: Window;
  readonly live: Window;
  /** Which window of the phase this is: see windowOf. */
  readonly turn: number;
  /** The most probes of this tool that Azure can have counted as requests of the new revision in the window. */
  readonly probes: number;
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
  /** Why a replica of the new revision is not ready, as far as Azure says it. */
  readonly notReady: string | undefined;
  /** The new revision was inactive, missing or unhealthy at each look of a minute. */
  readonly isUnhealthy: boolean;
  readonly tests: TestResult | undefined;
  /** What could not be seen, for a person. */
  readonly notes: readonly string[];
}

export interface Sides extends Partial<Pick<CheckLook, "turn" | "probes">> {
  readonly next: Counts;
  readonly live: Counts;
}

export const nothingSeen: Seen = {
  counts: new Map(),
  failing: new Set(),
  silent: new Set(),
  restarts: undefined,
  notReady: undefined,
  isUnhealthy: false,
  tests: undefined,
  notes: [],
};

/** Azure applies weights within seconds. Requests of the first ones still have the old weights. */
const settling = 30_000;
const minute = 60_000;

/** @param isSwapping the label of the new revision may be gone already: Azure still shows the bake */
export function lookAt(
  definition: Definition,
  { progress, next, isLost }: Underway,
  isSwapping: boolean,
  now: number,
): Look {
  const { checks } = definition;
  const { phase } = progress;
  const isJudged = phase === "step" || phase === "bake";
  return {
    counts: isJudged && !isLost ? ratioChecks(definition).map(windows) : [],
    probes: isJudged && !isSwapping ? checks.filter((check) => check.source === "probe") : [],
    needsReplicas: next !== undefined && phase !== "back" && phase !== "swapped",
    needsHealth: isJudged || phase === "testing",
  };

  /** In the bake, the old revision has no requests: those of its last step count. */
  function windows(check: RatioCheck): CheckLook {
    const end = now - check.lag * 1000;
    const { turn, ...own } = windowOf(judgedFrom(progress), end, longest(phase));
    const probes = check.source === "metrics" ? mostProbes(checks, own) : 0;
    if (phase === "step") return { check, next: own, live: own, turn, probes };
    const { from, to } = windowOf(
      (progress.base ?? progress.since) + settling,
      Math.min(progress.since, end),
      longest("step"),
    );
    return { check, next: own, live: { from, to }, turn, probes };
  }

  /** How long a phase can last without a hold. */
  function longest(of: Phase): number {
    const { steps, bake, inconclusive } = definition;
    const planned = of === "bake" ? bake : (steps[progress.step - 1]?.for ?? 0);
    return (planned + inconclusive.extend) * 1000;
  }
}

/** A run looks every `slowLook`. It sends one probe, or more of them until one succeeds. */
function mostProbes(checks: Definition["checks"], { from, to }: Window): number {
  const perMinute = checks.map((check) => {
    if (check.source !== "probe") return 0;
    const { failures, every } = check;
    return Math.max(minute / slowLook, (failures * minute) / (slowLook + (failures - 1) * every * 1000));
  });
  return Math.ceil(perMinute.reduce((sum, one) => sum + one, 0) * ((to - from) / minute));
}

/** The first whole minute whose requests have the weights of the phase. */
export const judgedFrom = ({ since }: Underway["progress"]) => Math.ceil((since + settling) / minute) * minute;

/**
 * The newest whole minutes of a phase, because Azure counts by minutes. The window may be empty. It is never longer
 * than the phase lasts without a hold: hours of good requests would hide that a revision has become bad.
 *
 * @returns also its turn: 1 until the window moves, and one more each time it has moved by its length
 */
function windowOf(from: number, to: number, longest: number): Window & { readonly turn: number } {
  const [first, end] = [Math.ceil(from / minute) * minute, Math.floor(to / minute) * minute];
  const start = Math.max(first, end - Math.ceil(longest / minute) * minute);
  return { from: start, to: Math.max(start, end), turn: Math.max(1, Math.ceil((end - first) / longest)) };
}
