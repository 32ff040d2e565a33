// How long a run tries: it gives up early while it raises the traffic, and late while it goes back.

import { type Action, done, lookAgain, type Situation } from "./action.ts";
import { decide } from "./decide.ts";
import { keyOf, type Memory } from "./memory.ts";
import { commandFor } from "./words.ts";

/** How long Azure may refuse a write, or not apply it. */
export const patience = { up: 5 * 60_000, back: 10 * 60_000 } as const;

/** Decides, and gives up what has not worked for too long. Pure. */
export function choose(situation: Situation): { action: Action; memory: Memory } {
  const { memory, now } = situation;
  const action = decide(situation);
  const reason = reasonOf(action);
  const isBack = reason !== undefined || isGoingBack(situation, action);
  const goingBackSince = isBack ? (memory.goingBackSince ?? now) : undefined;
  const attempt = attemptOf(situation, action);
  const failed = memory.failed ?? reason;
  const remembered = { ...memory, goingBackSince, attempt, failed };
  if (action.kind === "done") return { action, memory: remembered };
  if (goingBackSince !== undefined) {
    if (now - goingBackSince < patience.back) return { action, memory: remembered };
    return { action: done("unconfirmed", notBack(situation)), memory: remembered };
  }
  const isTrying = attempt !== undefined && attempt.key === nameOf(action);
  if (isTrying && now - attempt.since >= patience.up) return giveUp({ ...situation, memory: remembered }, action);
  if (isBlocked(situation, action)) {
    const blocked = lookAgain(situation, "waits until Azure has applied the last write");
    return { action: { ...blocked, isBlocked: true }, memory: remembered };
  }
  return { action, memory: remembered };
}

/** @returns why the action sends the traffic back, if it does */
function reasonOf(action: Action): string | undefined {
  if (action.kind === "write") return action.moves === "back" ? action.progress.reason : undefined;
  return "back" in action ? action.back : undefined;
}

/** Also while Azure shows the state of before: it can undo the way back. */
function isGoingBack({ state, memory }: Situation, action: Action): boolean {
  if (action.kind === "wait" && memory.goingBackSince !== undefined) return true;
  return state.kind === "underway" && state.progress.phase === "back" && !state.isLost;
}

/** The same attempt goes on until something else is done: Azure can show a write and take it back. */
function attemptOf({ memory, now }: Situation, action: Action): Memory["attempt"] {
  const key = nameOf(action);
  if (key === undefined) return memory.attempt;
  return memory.attempt?.key === key ? memory.attempt : { key, since: now };
}

/** Names what an action tries, so that a repeated one counts as the same. */
export function nameOf(action: Action): string | undefined {
  if (action.kind === "write") {
    const { moves, progress } = action;
    return [moves, keyOf(progress), progress.hold, progress.approved].filter(Boolean).join(" ");
  }
  if (action.kind === "activate" || action.kind === "deactivate") return `${action.kind} ${action.revision}`;
  return action.kind === "test" ? "test" : undefined;
}

/** Azure refuses a write while it applies another one, and a label responds only after that. */
function isBlocked({ app, memory }: Situation, { kind }: Action): boolean {
  return kind !== "wait" && (app.isBusy || memory.pending !== undefined);
}

function giveUp(situation: Situation, action: Action): { action: Action; memory: Memory } {
  const { state, memory } = situation;
  const what = `Azure did not do this within 5 minutes: ${action.message}`;
  if (state.kind !== "underway") return { action: done("unreachable", `${what}. Nothing was raised`), memory };
  if (state.progress.phase === "swapped") {
    return { action: done("promoted", `all traffic is on ${state.nextName}, but ${what}`), memory };
  }
  const failed = { ...memory, attempt: undefined, pending: undefined, failed: what };
  return choose({ ...situation, memory: failed });
}

function notBack({ state, definition }: Situation): string {
  const from = state.kind === "underway" ? state.progress.from : "the old revision";
  const remedy = `run ${commandFor(definition, "abort")} again, or move the traffic in the Azure portal`;
  return `Azure has not confirmed within 10 minutes that all traffic is back on ${from} and the new one stopped: ${remedy}`;
}
