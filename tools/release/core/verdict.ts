// Judges what was seen of the new revision.
import type { Revision } from "../azure/azure.ts";
import { type Definition, ratioChecks } from "../definition/definition.ts";
import type { CheckReport } from "../show/report.ts";
import { isOffWeight, judge, looksInTurn, looksOf, needed } from "./judge.ts";
import type { Underway } from "./state.ts";
import type { Seen } from "./windows.ts";
import { formatPoints } from "./words.ts";

export function judgeChecks(definition: Definition, { weight }: Underway, seen: Seen): CheckReport[] {
  const looks = looksOf(definition);
  return ratioChecks(definition).map(({ name, margin, max }) => {
    const none = { bad: 0, total: 0 };
    const { next, live, turn = 1 } = seen.counts.get(name) ?? { next: none, live: none };
    const rule = { margin, max, looks: looksInTurn(looks, turn) };
    const { verdict, strict, usual } = judge(next, live, rule);
    const { difference, low, high } = verdict === "fail" ? strict : usual;
    const open = verdict === "inconclusive" && weight > 0 ? needed(next, live, rule, weight) : undefined;
    return { name, verdict, margin, next, live, difference, low, high, needed: open };
  });
}

/** @returns why the new revision must lose its traffic; undefined: nothing that was seen proves it */
export function failureOf(definition: Definition, state: Underway, seen: Seen): string | undefined {
  const { progress, nextName } = state;
  if (progress.phase !== "testing" && progress.phase !== "step" && progress.phase !== "bake") return undefined;
  if (seen.isUnhealthy) return `${nextName} was ${conditionOf(state, seen)} for a minute`;
  const { restarts = Number.POSITIVE_INFINITY } = progress;
  if (seen.restarts !== undefined && seen.restarts > restarts) return `a replica of ${nextName} restarted`;
  const probe = definition.checks.find(({ name }) => seen.failing.has(name));
  if (probe?.source === "probe") {
    return `check ${probe.name}: ${probe.failures} requests in a row to ${probe.get} failed, and the live revision responds`;
  }
  const check = judgeChecks(definition, state, seen).find(({ verdict }) => verdict === "fail");
  if (!check) return undefined;
  const { name, next, live, margin } = check;
  const counts = `${next.bad} of ${next.total} requests are bad, ${live.bad} of ${live.total} of the live revision`;
  return `check ${name} is worse by more than ${formatPoints(margin)}: ${counts}`;
}

function conditionOf({ next }: Underway, seen: Seen): string {
  if (!next) return "missing";
  return next.isActive ? `unhealthy (${describeState(next, seen)})` : "inactive";
}

/** e.g. `Processing, CrashLoopBackOff` */
export function describeState({ state }: Revision, { notReady }: Seen): string {
  return notReady === undefined ? state : `${state}, ${notReady}`;
}

/** Whether the requests reach the revisions by other shares than the table says. */
export function isSplitWrong(definition: Definition, { progress, weight }: Underway, seen: Seen): boolean {
  if (progress.phase !== "step") return false;
  return ratioChecks(definition).some(({ name }) => {
    const sides = seen.counts.get(name);
    return sides !== undefined && isOffWeight(sides.next, sides.live, weight, sides.probes);
  });
}

/** The counts of a check are not known, because Azure returned an error. Without requests, they are 0. */
export function isBlind(definition: Definition, seen: Seen): boolean {
  return ratioChecks(definition).some(({ name }) => !seen.counts.has(name));
}

/** Why a phase does not pass, although no check fails. */
export function whyUndecided(definition: Definition, seen: Seen): "silent" | "blind" | "inconclusive" {
  if (seen.silent.size > 0) return "silent";
  return isBlind(definition, seen) ? "blind" : "inconclusive";
}

/** Every check says that the new revision is good enough. */
export function hasPassed(definition: Definition, state: Underway, seen: Seen): boolean {
  return seen.silent.size === 0 && judgeChecks(definition, state, seen).every(({ verdict }) => verdict === "pass");
}
