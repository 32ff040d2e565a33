// What a run can do after a look at Azure.
import type { App, Share, Template } from "../azure/azure.ts";
import type { Definition } from "../definition/definition.ts";
import type { Outcome } from "../show/report.ts";
import type { Goal } from "./goal.ts";
import type { Memory } from "./memory.ts";
import type { State } from "./state.ts";
import type { Progress } from "./tags.ts";
import type { Seen } from "./windows.ts";

export type Action = Wait | Write | Activation | RunTests | Done;

export interface Wait {
  readonly kind: "wait";
  /** When to look again: milliseconds since 1970. */
  readonly until: number;
  /** Not even the lock is taken: the app may be somebody else's. */
  readonly isPassive?: boolean;
  /** Azure must first apply an earlier change. */
  readonly isBlocked?: boolean;
  /** Part of a way back, for this reason. */
  readonly back?: string;
  readonly message: string;
}

/** One PATCH of the app. */
export interface Write {
  readonly kind: "write";
  /** up: more traffic for the new revision, or on the way to it. back: all traffic for the old one. note: tags only. */
  readonly moves: "up" | "back" | "note";
  readonly progress: Progress;
  readonly mode?: "Multiple";
  readonly traffic?: readonly Share[];
  readonly template?: Template;
  /** The run ends with this write, so it drops the lock. */
  readonly isLast?: boolean;
  /** A person asks for it, whichever run has the lock. */
  readonly ignoresLock?: boolean;
  readonly message: string;
}

export interface Activation {
  readonly kind: "activate" | "deactivate";
  readonly revision: string;
  /** Part of a way back, for this reason. */
  readonly back?: string;
  readonly message: string;
}

/** Runs the tests of the definition. Their result is then part of what was seen. */
interface RunTests {
  readonly kind: "test";
  readonly message: string;
}

export interface Done {
  readonly kind: "done";
  readonly outcome: Outcome;
  readonly message: string;
}

/** All that a decision depends on. */
export interface Situation {
  readonly definition: Definition;
  readonly goal: Goal;
  readonly app: App;
  readonly state: State;
  readonly seen: Seen;
  readonly memory: Memory;
  /** By the clock of Azure, in milliseconds since 1970. */
  readonly now: number;
}

/** Between two looks: while the revisions are compared, and while the release waits for Azure. */
export const slowLook = 15_000;
const fastLook = 5_000;

export const wait = (until: number, message: string): Wait => ({ kind: "wait", until, message });

export const lookAgain = ({ now }: Situation, message: string): Wait => wait(now + fastLook, message);

export const done = (outcome: Outcome, message: string): Done => ({ kind: "done", outcome, message });

export const note = (progress: Progress, message: string): Write => ({
  kind: "write",
  moves: "note",
  progress,
  message,
});
