// What a person sees of a release after each look at Azure. show/ prints it.
import type { Counts, Verdict } from "../core/judge.ts";

export interface Report {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly app: string;
  readonly image: string | undefined;
  /** Such as `step 2 of 3`, `tests` or `bake`. */
  readonly phase: string;
  readonly live: Side;
  readonly next: Side | undefined;
  readonly checks: readonly CheckReport[];
  readonly probes: readonly ProbeReport[];
  /**
   * Why the release holds, as in its tag; undefined: it does not hold. `confirm` means that a step asks for a person:
   * release.yml then asks for an approval.
   */
  readonly hold: string | undefined;
  /** One sentence: what happens now, or what a person can do. */
  readonly message: string;
  /** When the phase ends at the earliest, in milliseconds since 1970. */
  readonly until: number | undefined;
}

export interface Side {
  readonly revision: string;
  readonly weight: number;
}

export interface CheckReport {
  readonly name: string;
  readonly verdict: Verdict;
  readonly margin: number;
  readonly next: Counts;
  readonly live: Counts;
  readonly difference: number;
  readonly low: number;
  readonly high: number;
  /** Requests of the new revision that are still needed to pass, if the shares stay; undefined: none, or no number. */
  readonly needed: number | undefined;
}

export interface ProbeReport {
  readonly name: string;
  /** All probes of this look failed. */
  readonly isFailing: boolean;
}

/** What prints a release. */
export interface Show {
  /** Called after each look at Azure. */
  report(report: Report): void;
  /**
   * Called once, last. Prints the outcome; `report` may never have been called.
   *
   * @param message one sentence: why it ended so, and what a person can do
   */
  end(outcome: Outcome, message: string): void;
}

export interface LoggingShow extends Show {
  /** Prints the output of a test between the reports. */
  log(output: string): void;
}

/**
 * How a command ends. The numbers are its exit codes. nothing: there was nothing to do. ongoing: the release goes on
 * with the next tick, or in another run. aborted: `abort` has sent all traffic back.
 */
export const outcomes = {
  promoted: 0,
  nothing: 0,
  ongoing: 0,
  aborted: 0,
  input: 1,
  rolledBack: 2,
  held: 3,
  foreign: 4,
  unreachable: 5,
  unconfirmed: 6,
} as const;

export type Outcome = keyof typeof outcomes;
