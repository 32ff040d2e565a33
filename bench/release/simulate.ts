// Simulates whole releases and counts how they end.
import type { Definition, RatioCheck } from "../../tools/release/definition/definition.ts";
import { type Ending, flagger, newcombe, type Rule, smartdeploy } from "./rules.ts";
import { createStream, type Traffic } from "./traffic.ts";

/** 5xx as in services/welcome/release.yaml, and slow requests, which it explains. */
const checks: readonly RatioCheck[] = [
  { name: "5xx", source: "metrics", margin: 0.01, max: 0.05, lag: 240 },
  { name: "slow", source: "httpLogs", over: 0.5, margin: 0.02, max: 1, lag: 360 },
];

const define = (steps: Definition["steps"], used: readonly RatioCheck[]): Definition => ({
  app: "welcome",
  labels: { live: "blue", next: "green" },
  test: [],
  steps,
  bake: 15 * 60,
  checks: used,
  inconclusive: { extend: 20 * 60, then: "hold" },
});

const threeSteps = [5, 25, 50].map((weight) => ({ weight, for: 10 * 60, confirm: false }));
const oneStep = [{ weight: 50, for: 30 * 60, confirm: false }];

export interface Endings {
  readonly promoted: number;
  readonly "rolled back": number;
  readonly held: number;
  /** Requests that the new version served, on average. */
  readonly served: number;
}

/** The share of each ending in a number of releases. */
function simulate(releases: number, rule: Rule, definition: Definition, traffic: Traffic): Endings {
  const counts: Record<Ending["outcome"], number> = { promoted: 0, "rolled back": 0, held: 0 };
  let served = 0;
  for (let seed = 1; seed <= releases; seed += 1) {
    const ending = rule(createStream(traffic, seed), definition);
    counts[ending.outcome] += 1;
    served += ending.served;
  }
  return {
    promoted: counts.promoted / releases,
    "rolled back": counts["rolled back"] / releases,
    held: counts.held / releases,
    served: Math.round(served / releases),
  };
}

/**
 * Releases with the checks of 5xx and of slow requests: of a version without a difference, and of one whose 5xx are
 * worse by twice the margin.
 *
 * @param base share of bad requests of the live version
 */
export function simulateRelease(releases: number, perSecond: number, base: number) {
  const run = (worse: number[]) =>
    simulate(releases, newcombe, define(threeSteps, checks), { perSecond, base: [base, base], worse });
  return { same: run([0, 0]), twice: run([2 * 0.01, 0]) };
}

/** Releases with the check of 5xx, of a version without a difference, at 10 requests a second: errors come together. */
export function simulateClumps(releases: number, base: number, clump: number) {
  const traffic = { perSecond: 10, base: [base], worse: [0], clump };
  return simulate(releases, newcombe, define(threeSteps, checks.slice(0, 1)), traffic);
}

/**
 * Releases with the check of 5xx alone, which all rules have. The thresholds are 1 %, and the one of the fitted Flagger
 * is 1 % above the share of the live version.
 */
export function simulateRivals(releases: number, perSecond: 1 | 10, base: number, worse: number) {
  const definition = define(perSecond === 1 ? oneStep : threeSteps, checks.slice(0, 1));
  const run = (rule: Rule) => simulate(releases, rule, definition, { perSecond, base: [base], worse: [worse] });
  return {
    release: run(newcombe),
    flagger: run(flagger(0.01)),
    "fitted flagger": run(flagger(base + 0.01)),
    smartdeploy: run(smartdeploy(0.01)),
  };
}
