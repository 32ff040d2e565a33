// What release.yaml says: how a new revision of an app gets traffic, and what decides whether it keeps it.
import { createHash } from "node:crypto";

/** Durations are in seconds, weights in percent of the traffic, `margin` and `max` are shares from 0 to 1. */
export interface Definition {
  readonly app: string;
  /** Labels of the revision that is live and of the one that is released. */
  readonly labels: { readonly live: string; readonly next: string };
  /** What must succeed at the label of the new revision before it gets traffic. */
  readonly test: readonly Test[];
  /** In ascending order of weight. */
  readonly steps: readonly Step[];
  /** How long the new revision has all traffic before the old one stops. */
  readonly bake: number;
  readonly checks: readonly Check[];
  /** When the data of a step decides nothing: extend the step once by `extend`, then hold the release or abort it. */
  readonly inconclusive: { readonly extend: number; readonly then: "hold" | "abort" };
  /** Not in the file: options that the next command needs, too, such as `--file FILE`. For messages. */
  readonly options?: readonly string[];
}

/** Fingerprint of what a release may not change on its way: the labels, the weights, and where it asks for a person. */
export function planOf({ labels, steps }: Definition): string {
  const parts = [labels.live, labels.next, ...steps.flatMap(({ weight, confirm }) => [weight, confirm])];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 6);
}

export type Test = { readonly get: string; readonly contains?: string } | { readonly run: string };

export interface Step {
  readonly weight: number;
  readonly for: number;
  /** When the step has passed, hold until `promote`. */
  readonly confirm: boolean;
}

export type Check = RatioCheck | ProbeCheck;

/** Compares the share of bad requests of the new revision with that of the live one. */
export interface RatioCheck {
  readonly name: string;
  /** metrics: bad requests end with 5xx. httpLogs: bad requests take longer than `over`. */
  readonly source: "metrics" | "httpLogs";
  /** Seconds; only with httpLogs. */
  readonly over?: number;
  /** How much larger the share of the new revision may be. */
  readonly margin: number;
  /** When the share of both revisions is larger, the cause is outside of the new revision: the release holds. */
  readonly max: number;
  /** How long Azure may take to count a request. */
  readonly lag: number;
}

/** Requests a path at the label of the new revision. */
export interface ProbeCheck {
  readonly name: string;
  readonly source: "probe";
  readonly get: string;
  /** Pause between two probes. */
  readonly every: number;
  /** Failures in a row that fail the release, unless the live revision fails, too. */
  readonly failures: number;
}

export const ratioChecks = ({ checks }: Definition): RatioCheck[] => checks.filter((check) => check.source !== "probe");
