// What a fault of Azure means for the run.

import type { AzureFault } from "../azure/azure.ts";
import { patience } from "../core/limits.ts";
import type { Memory } from "../core/memory.ts";
import type { Looked, Turn } from "./act.ts";

interface Trouble {
  /** undefined: the app could not be read */
  readonly looked: Looked | undefined;
  readonly memory: Memory;
  /** The app could never be read. */
  readonly isFirst: boolean;
  /** How many faults have followed each other. */
  readonly count: number;
  /** How long faults have followed each other, in milliseconds. */
  readonly lasted: number;
}

/** Longer than it takes to give up a raise and then to go back. */
const limit = patience.up + patience.back;

/** One answer can be wrong: a role that was assigned a moment ago is not known everywhere. */
const refusals = 3;

/** Ends the run, or goes on: with the memory of a failure when Azure rejects what the release needs to rise. */
export function endAfter(fault: AzureFault, { looked, memory, isFirst, count, lasted }: Trouble): Turn {
  const { message } = fault;
  const isPermanent = fault.kind === "denied" || fault.kind === "missing" || fault.kind === "rejected";
  const isIdle = looked?.situation.state.kind === "idle";
  if (isPermanent && (isFirst || (isIdle && count >= refusals))) return { memory, end: { outcome: "input", message } };
  const isGoingBack = memory.goingBackSince !== undefined;
  if (lasted >= (isGoingBack ? patience.back : limit)) {
    const next = "The next `run` goes on with the release.";
    if (isGoingBack) return { memory, end: { outcome: "unconfirmed", message: `${message} ${next}` } };
    return { memory, end: { outcome: "unreachable", message: `${message} The traffic stays as it is. ${next}` } };
  }
  if (fault.kind === "rejected" && looked && raises(looked) && memory.failed === undefined) {
    return { memory: { ...memory, failed: `Azure rejects this: ${looked.action.message} (${fault.message})` } };
  }
  return { memory };
}

function raises({ situation, action }: Looked): boolean {
  if (situation.state.kind !== "underway" || situation.state.progress.phase === "swapped") return false;
  return action.kind === "activate" || action.kind === "test" || (action.kind === "write" && action.moves === "up");
}

/** @returns milliseconds */
export function pauseAfter({ retryAfter }: AzureFault, count: number): number {
  const backOff = Math.min(60, 2 ** Math.min(count, 6));
  return Math.max(retryAfter ?? 0, backOff) * 1000;
}
