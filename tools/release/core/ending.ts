// How a release ends: the new revision is live, or all traffic goes back to the old one.

import type { Template } from "../azure/azure.ts";
import { type Action, done, lookAgain, note, type Situation } from "./action.ts";
import { lockOf } from "./lock.ts";
import type { Underway } from "./state.ts";
import { onlyTable } from "./table.ts";
import { wholeSeconds } from "./tags.ts";

/**
 * How long a revision without traffic may finish its requests before it stops. Longer than what Azure shows can be old:
 * another run may have given it all traffic again.
 */
const drain = 60_000;

/** How long a revision with a health that Azure does not tell may start. */
const starting = 3 * 60_000;

/** A way back that is sent again after this time leaves the template that failed where it is. */
const restoring = 30_000;

/** The new revision is the live one. The old one stops. */
export function swap(situation: Situation, { progress, isLost, live, nextName }: Underway): Action {
  const { goal, now } = situation;
  if (goal.kind === "abort") {
    return done("input", `nothing to abort: ${nextName} is live already. To go back, release the image of before`);
  }
  if (now - progress.since < drain) return lookAgain(situation, `all traffic is on ${nextName}`);
  if (isLost) return note({ ...progress, since: wholeSeconds(now) }, `all traffic is on ${nextName}`);
  if (live?.isActive) return { kind: "deactivate", revision: live.name, message: `stops ${live.name}` };
  return { ...note({ ...progress, phase: "promoted" }, `${nextName} is promoted`), isLast: true };
}

/** Traffic first, in one write, then the new revision stops. */
export function goBack(situation: Situation, state: Underway, reason: string): Action {
  const { definition, goal, app, now, memory } = situation;
  const { progress, live, next, nextName } = state;
  const ignoresLock = goal.kind === "abort";
  if (live && !live.isActive) {
    return { kind: "activate", revision: live.name, back: reason, message: `activates ${live.name}` };
  }
  if (progress.phase !== "back" || state.isLost || !state.isBack) {
    if (memory.pending?.moves === "back") return lookAgain(situation, `waits until all traffic is on ${progress.from}`);
    if (live && isBetterNow(situation, state)) {
      const message = `waits until ${live.name} is ready (${live.state}), to send all traffic back: ${reason}`;
      return { ...lookAgain(situation, message), isBlocked: true, back: reason };
    }
    const { approved: _approved, hold: _hold, ...kept } = progress;
    const template = restoredTemplate(situation, state);
    const isFree = lockOf(app.tags, now) === undefined;
    return {
      kind: "write",
      moves: "back",
      progress: { ...kept, phase: "back", since: wholeSeconds(now), reason },
      traffic: onlyTable(app, definition.labels, progress.from),
      ...(template && { template }),
      // A failed app can reject the tag of a lock, and no traffic moves.
      ignoresLock: ignoresLock || (template !== undefined && isFree),
      message: `all traffic goes back to ${progress.from}: ${reason}`,
    };
  }
  const isDraining = now - progress.since < drain;
  if (isDraining || app.isBusy) {
    const draining = lookAgain(situation, `all traffic is back on ${progress.from}: ${reason}`);
    return { ...draining, isBlocked: app.isBusy };
  }
  if (next?.isActive) return { kind: "deactivate", revision: nextName, message: `stops ${nextName}` };
  const end = note({ ...progress, phase: "rolled-back" }, `${nextName} is rolled back: ${reason}`);
  return { ...end, isLast: true, ignoresLock };
}

/** Whether users lose more with an old revision that is not ready than with the new one, which still responds. */
function isBetterNow({ now, memory, seen }: Situation, { live, next, weight }: Underway): boolean {
  const responds = weight > 0 && next?.isActive === true && next.health !== "unhealthy" && seen.failing.size === 0;
  if (!responds || !live || live.health === "healthy") return false;
  return live.health === "unhealthy" || now - (memory.goingBackSince ?? now) < starting;
}

/**
 * When Azure has not created the new revision, the app keeps the template that failed, and may reject changes until it
 * gets a good one. The template of the live revision, with the suffix of its name, makes no revision.
 */
function restoredTemplate({ app, now, memory }: Situation, { live, next }: Underway): Template | undefined {
  const isLate = now - (memory.goingBackSince ?? now) >= restoring;
  if (next || !live || app.failure === undefined || isLate) return undefined;
  return { ...live.template, revisionSuffix: live.name.slice(live.name.indexOf("--") + 2) };
}
