// Does what was decided: at most one write, and only with the lock.

import { type Azure, AzureFault, type Change } from "../azure/azure.ts";
import type { Action, Activation, Done, Situation, Write } from "../core/action.ts";
import { isOnce, isStart, type ReleaseOptions } from "../core/goal.ts";
import { choose, nameOf, patience } from "../core/limits.ts";
import { lockOf, withLock, withoutLock } from "../core/lock.ts";
import { type Memory, testsOf } from "../core/memory.ts";
import { expect } from "../core/pending.ts";
import { formatProgress, formatTime, releaseTag } from "../core/tags.ts";
import type { Outcome } from "../show/report.ts";
import { labelUrl } from "./observe.ts";
import { hasLock, mayWrite, renewLock, takeLock } from "./take-lock.ts";
import { longest, type TestResult, testRevision } from "./test-revision.ts";

export interface Looked {
  readonly situation: Situation;
  readonly action: Action;
  readonly memory: Memory;
}

/** What to remember for the next look, or the end of the run. */
export interface Turn {
  readonly memory: Memory;
  readonly end?: { readonly outcome: Outcome; readonly message: string };
}

/** How often a run looks at a release that another run works on. */
const followPause = 15_000;

/** @throws AzureFault when Azure did not accept a write, or could not be read before it */
export async function act(options: ReleaseOptions, { situation, action, memory }: Looked): Promise<Turn> {
  const { goal, azure, clock } = options;
  const { app } = situation;
  if (action.kind === "done") return { memory, end: action };
  const once = isOnce(goal);
  if (once && isTickOver({ situation, action, memory })) {
    return { memory, end: { outcome: "ongoing", message: memory.changed?.message ?? action.message } };
  }
  if (action.kind === "wait" && (action.isPassive || once)) {
    await clock.sleep(Math.max(1_000, action.until - azure.now()));
    return { memory };
  }
  if (!ignoresLock(options, action) && !hasLock(options, app)) return getLock(options, { situation, action, memory });
  switch (action.kind) {
    case "wait":
      // What Azure shows is older than the last write: renewing the lock would take the tags of before.
      if (!memory.pending) await renewLock(options, app);
      await clock.sleep(Math.max(1_000, action.until - azure.now()));
      return { memory };
    case "test": {
      const { state } = situation;
      const seen = { ...situation.seen, tests: await runTests(options, situation) };
      const tested = seen.tests.ok && state.kind === "underway" ? testsOf(state.progress) : undefined;
      const chosen = choose({ ...situation, seen, memory: { ...memory, tested }, now: azure.now() });
      return act(options, { situation, ...chosen });
    }
    case "write": {
      const written = await write(options, situation, action, memory);
      return { memory: once && written !== memory ? afterChange(written, action, azure.now()) : written };
    }
    default: {
      const isSent = await activate(options, situation, action);
      return { memory: once && isSent ? afterChange(memory, action, azure.now()) : memory };
    }
  }
}

const afterChange = (memory: Memory, action: Write | Activation, now: number): Memory => ({
  ...memory,
  changed: memory.changed ?? { key: nameOf(action), since: now, message: action.message },
});

/**
 * A tick remembers nothing of the ticks before it. So it stays while Azure does not apply a change: its own limits end
 * it, or send the traffic back. Else it ends when nothing is due, or something else than what it has changed already.
 */
function isTickOver({ situation: { app, now }, action, memory }: Looked): boolean {
  const { changed, pending } = memory;
  if (action.kind === "wait") {
    const isApplying = changed !== undefined && app.isBusy && now - changed.since < patience.up;
    return !action.isBlocked && pending === undefined && !isApplying;
  }
  const isWayBack = action.kind === "write" && action.moves === "back";
  return changed !== undefined && !isWayBack && nameOf(action) !== changed.key;
}

function ignoresLock({ goal }: ReleaseOptions, action: Exclude<Action, Done>): boolean {
  return goal.kind === "abort" || (action.kind === "write" && action.ignoresLock === true);
}

/** Waits for the run that has the lock, ends, or takes the lock. The next look shows whether that worked. */
async function getLock(options: ReleaseOptions, { situation: { app }, memory }: Looked): Promise<Turn> {
  const { goal, azure, clock, owner } = options;
  const lock = lockOf(app.tags, azure.now());
  if (!lock || lock.owner === owner) {
    await takeLock(options, app);
    return { memory };
  }
  if (isStart(goal) && !goal.once) {
    await clock.sleep(followPause);
    // What this run does, and for how long it tries, begins when it is its turn.
    return { memory: { ...memory, attempt: undefined, goingBackSince: undefined, failed: undefined } };
  }
  const until = `its lock ends at ${formatTime(lock.expiry)}. If it has died, run this command again then`;
  return { memory, end: { outcome: "ongoing", message: `${lock.owner} goes on with this release: ${until}` } };
}

/** @returns the same memory if the app has changed since the look: then nothing is written */
async function write(options: ReleaseOptions, { app, now }: Situation, action: Write, memory: Memory): Promise<Memory> {
  const { definition, azure } = options;
  const fresh = await mayWrite(options, app, !ignoresLock(options, action), action.moves);
  if (!fresh) return memory;
  try {
    await patch(azure, changeOf(options, fresh.app.tags, action), action, fresh.check);
    return expect(memory, definition, fresh.app, action, true, azure.now());
  } catch (error) {
    // Azure may have accepted it: the next looks show it.
    if (!(error instanceof AzureFault) || error.kind !== "unreachable") throw error;
    return expect(memory, definition, fresh.app, action, false, Math.max(now, azure.now()));
  }
}

/** The way back must not depend on the template that it also restores. */
async function patch(azure: Azure, change: Change, { moves }: Write, check: () => void): Promise<void> {
  const { template, ...others } = change;
  try {
    await azure.patch(change, check);
  } catch (error) {
    if (!(error instanceof AzureFault) || error.kind !== "rejected" || moves !== "back" || !template) throw error;
    await azure.patch(others, check);
  }
}

function changeOf(options: ReleaseOptions, old: Change["tags"] & {}, action: Write): Change {
  const { goal, azure, owner } = options;
  const { mode, traffic, template, progress, isLast } = action;
  const tags = { ...old, [releaseTag]: formatProgress(progress) };
  const isEnd = isLast === true || isOnce(goal);
  const isOwn = lockOf(old, azure.now())?.owner === owner;
  const locked = isOwn ? (isEnd ? withoutLock(tags) : withLock(tags, owner, azure.now())) : tags;
  return { ...(mode && { mode }), ...(traffic && { traffic }), ...(template && { template }), tags: locked };
}

/** @returns whether the request was sent: not if the app has changed since the look */
async function activate(options: ReleaseOptions, { app }: Situation, action: Activation): Promise<boolean> {
  const { azure, clock } = options;
  const fresh = await mayWrite(options, app, !ignoresLock(options, action), "note");
  if (!fresh) return false;
  await azure.setActive(action.revision, action.kind === "activate", fresh.check);
  await clock.sleep(2_000);
  return true;
}

async function runTests(options: ReleaseOptions, { app, state }: Situation): Promise<TestResult> {
  const { definition, azure, probe, runTest } = options;
  const url = labelUrl(definition, definition.labels.next, app.domain);
  const revision = state.kind === "underway" ? state.nextName : "";
  // A command can take longer than the usual lock.
  const beforeCommand = async () => renewLock(options, await azure.readApp(), 2 * longest);
  return testRevision(definition, { url, revision }, probe, runTest, beforeCommand);
}
