import type { Azure } from "../azure/azure.ts";
import type { Definition } from "../definition/definition.ts";
import type { Clock } from "../run/clock.ts";
import type { Probe } from "../run/probe.ts";
import type { RunTest } from "../run/test-revision.ts";
import type { Show } from "../show/report.ts";

/** What a command wants. */
export type Goal = RunGoal | PromoteGoal | { readonly kind: "abort" };

interface PromoteGoal {
  readonly kind: "promote";
  readonly force: boolean;
  /** The revision that a person has approved, and the step, from 1. Another one is refused. undefined: any */
  readonly revision?: string | undefined;
  readonly step?: number | undefined;
}

/** Without an image and without variables, it goes on with the release that is under way, and starts none. */
export interface RunGoal {
  readonly kind: "run";
  readonly image?: string | undefined;
  /** Environment variables of the new revision, by name. */
  readonly set?: Readonly<Record<string, string>>;
  /** Starts a release again that was rolled back. */
  readonly retry: boolean;
  /** A tick: does what is due now, at most one change, and ends when Azure has applied it. */
  readonly once: boolean;
  /** Releases an app that scales by the length of a queue. */
  readonly allowQueue: boolean;
}

export interface ReleaseOptions {
  readonly definition: Definition;
  readonly goal: Goal;
  readonly azure: Azure;
  readonly clock: Clock;
  readonly probe: Probe;
  readonly runTest: RunTest;
  /** Names this run in the lock. Another run never has the same. */
  readonly owner: string;
  readonly show: Show;
}

/** Whether the command asks for a new revision. */
export const isStart = (goal: Goal): goal is RunGoal =>
  goal.kind === "run" && (goal.image !== undefined || Object.keys(goal.set ?? {}).length > 0);

export const isOnce = (goal: Goal): boolean => goal.kind === "run" && goal.once;
