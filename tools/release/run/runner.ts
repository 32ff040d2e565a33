// Runs a release: look at Azure, decide, write once, look again. A run can be killed at any point: all that the next
// one needs is in Azure.

import { type App, AzureFault } from "../azure/azure.ts";
import { askedFor } from "../core/decide.ts";
import type { ReleaseOptions } from "../core/goal.ts";
import { choose } from "../core/limits.ts";
import { emptyMemory, isSwapping, type Memory, remember } from "../core/memory.ts";
import { confirm } from "../core/pending.ts";
import { stateOf } from "../core/state.ts";
import { nothingSeen } from "../core/windows.ts";
import type { Outcome } from "../show/report.ts";
import { summarize } from "../show/summarize.ts";
import { act, type Looked, type Turn } from "./act.ts";
import { endAfter, pauseAfter } from "./faults.ts";
import { observe } from "./observe.ts";
import { dropLock, ownsLock } from "./take-lock.ts";

/** Rejects only because of a fault in this program: what Azure does wrong becomes an outcome. */
export async function release(options: ReleaseOptions): Promise<Outcome> {
  const { clock, show } = options;
  let memory = emptyMemory;
  let last: App | undefined;
  /** Faults in a row. */
  let trouble: { readonly since: number; readonly count: number } | undefined;
  for (;;) {
    let turn: Turn;
    let looked: Looked | undefined;
    try {
      looked = await look(options, memory);
      last = looked.situation.app;
      memory = looked.memory;
      show.report(summarize(looked.situation, looked.action));
      turn = await act(options, looked);
      trouble = undefined;
    } catch (error) {
      if (!(error instanceof AzureFault)) throw error;
      trouble = { since: trouble?.since ?? clock.now(), count: (trouble?.count ?? 0) + 1 };
      const { since, count } = trouble;
      turn = endAfter(error, { looked, memory, isFirst: last === undefined, count, lasted: clock.now() - since });
      if (turn.end === undefined) await clock.sleep(pauseAfter(error, count));
    }
    memory = turn.memory;
    if (turn.end) {
      if (last && ownsLock(options, last)) await tryDropLock(options);
      show.end(turn.end.outcome, turn.end.message);
      return turn.end.outcome;
    }
  }
}

async function look(options: ReleaseOptions, before: Memory): Promise<Looked> {
  const { definition, goal, azure } = options;
  const app = await azure.readApp();
  const state = stateOf(definition, app);
  const asked = askedFor({ definition, goal, state });
  const confirmed = confirm(before, definition, app, azure.now());
  const started = typeof asked === "object" ? asked.id : undefined;
  const recalled = remember(confirmed, goal, state, started, azure.now());
  const seen =
    state.kind === "underway" ? await observe(options, state, app.domain, isSwapping(recalled)) : nothingSeen;
  const situation = { definition, goal, app, state, seen, memory: recalled, now: azure.now() };
  const { action, memory } = choose(situation);
  return { situation, action, memory };
}

/** If it fails, the lock expires. */
async function tryDropLock(options: ReleaseOptions): Promise<void> {
  try {
    await dropLock(options);
  } catch (error) {
    if (!(error instanceof AzureFault)) throw error;
  }
}
