// What to do next: from the definition, the goal, the state of the app and what was seen. Pure: no clock, no requests.

import type { App } from "../azure/azure.ts";
import { type Action, done, lookAgain, note, type Situation, type Wait, type Write } from "./action.ts";
import { type Candidate, candidateOf, imageOf, revisionName } from "./candidate.ts";
import { goBack, swap } from "./ending.ts";
import { isOnce, isStart } from "./goal.ts";
import { keyOf } from "./memory.ts";
import { create, judgePhase, pin, test } from "./phases.ts";
import { missingSecrets, refusals, refuseTable } from "./refuse.ts";
import type { Foreign, Idle, Underway } from "./state.ts";
import { tableOf } from "./table.ts";
import { type Progress, wholeSeconds } from "./tags.ts";
import { failureOf } from "./verdict.ts";
import { commandFor, describePhase, givenUp, rolledBackMessage } from "./words.ts";

/** How long Azure may show the tag of a write without its table, before the table counts. */
const grace = 60_000;

/** How long a table must be somebody else's: Azure shows an app and its revisions as they were at different times. */
const foreignFor = 30_000;

export function decide(situation: Situation): Action {
  const { definition, goal, app, state, now, memory } = situation;
  if (state.kind === "idle") return decideIdle(situation, state);
  if (state.kind === "underway") return decideUnderway(situation, state);
  if (goal.kind === "abort") return abortForeign(situation, state);
  const isOther = !state.release && memory.following === undefined;
  if (isOther && goal.kind === "run" && !isStart(goal)) return done("nothing", `nothing to do: ${state.message}`);
  const isSettling =
    memory.pending !== undefined || (state.release !== undefined && now - state.release.progress.since < grace);
  const isNew = now - (memory.foreignSince ?? now) < foreignFor && !isOnce(goal);
  if (isSettling || isNew) return { ...settle(situation), isPassive: true };
  if (isOther && isStart(goal)) return done("input", refuseTable(definition, app, state.message));
  if (!state.release) return done("foreign", refuseTable(definition, app, state.message));
  const remedy = `To end this release, run ${commandFor(definition, "abort")}`;
  return done(
    "foreign",
    `${state.message}. Another tool or a person changed it, so this command touches nothing. ${remedy}`,
  );
}

/** A person wants the old revision back, so the labels do not matter. What others gave to a third one stays theirs. */
function abortForeign(situation: Situation, { message, release, last }: Foreign): Action {
  const { definition, app, memory } = situation;
  if (!release) {
    if (last?.phase !== "rolled-back" || last.id !== memory.following) {
      return done("foreign", refuseTable(definition, app, message));
    }
    const isStill = tableOf(app, definition.labels).weights.has(revisionName(definition, last.id));
    return done(isStill ? "unconfirmed" : "aborted", refuseTable(definition, app, rolledBackMessage(last, last.from)));
  }
  const { live, next, nextName, weight, progress } = release;
  if (!live || weight === undefined) {
    const end = note({ ...progress, phase: "rolled-back", reason: `${givenUp}${message}` }, `gives up: ${message}`);
    return { ...end, isLast: true, ignoresLock: true };
  }
  const found = {
    live,
    next,
    nextName,
    weight,
    progress,
    isLost: true,
    isTagged: true,
    isChanged: false,
    isBack: false,
  };
  return goBack(situation, { kind: "underway", ...found }, "aborted");
}

const settle = (situation: Situation): Wait => ({
  ...lookAgain(situation, "waits until Azure shows the last write"),
  isBlocked: true,
});

/**
 * The revision that the goal asks for.
 *
 * @returns undefined if it asks for none; a sentence if it asks for an impossible one
 */
export function askedFor({ definition, goal, state }: Pick<Situation, "definition" | "goal" | "state">) {
  const live = state.kind === "foreign" ? undefined : state.live;
  if (!isStart(goal) || !live) return undefined;
  try {
    return candidateOf(definition, live, goal);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function decideIdle(situation: Situation, state: Idle): Action {
  const { definition, goal, app, memory } = situation;
  const { live, last } = state;
  const ended = last && last.id === memory.following && last.since >= memory.newest ? last : undefined;
  if (ended?.phase === "promoted") return done("promoted", promotedMessage(app, live.name));
  if (ended) {
    const isStill = live.name === revisionName(definition, ended.id);
    const outcome = goal.kind === "abort" ? (isStill ? "unconfirmed" : "aborted") : "rolledBack";
    return done(outcome, rolledBackMessage(ended, live.name));
  }
  if (goal.kind !== "run") return nothingUnderway(goal.kind, state);
  if (!isStart(goal)) return done("nothing", `no release is under way, all traffic is on ${live.name}`);
  const refused = refusals(app, live, goal.allowQueue);
  if (refused.length > 0) return done("input", refused.join("; "));
  const asked = askedFor(situation);
  if (asked === undefined || typeof asked === "string") return done("input", asked ?? "");
  if (asked.isLive) return done("nothing", `${live.name} has this content and all traffic`);
  if (last?.phase === "rolled-back" && last.id === asked.id && !goal.retry) {
    return done("rolledBack", `${rolledBackMessage(last, live.name)}. To release it again, add --retry`);
  }
  const missing = missingSecrets(app, asked.template);
  if (missing.length > 0) return done("input", missing.join("; "));
  return pin(situation, live.name, asked.id);
}

/** Such as one that infra/bicep has made with CANDIDATE_WEIGHT: it belongs to no release, so it goes on. */
function promotedMessage({ revisions, traffic }: App, live: string): string {
  const isUsed = (name: string) => name === live || traffic.some(({ revision }) => revision === name);
  const others = revisions.filter(({ name, isActive }) => isActive && !isUsed(name)).map(({ name }) => name);
  const rest = `. Without traffic and label, but active: ${others.join(", ")}. Stop it if you do not need it`;
  return `all traffic is on ${live}${others.length > 0 ? rest : ""}`;
}

function nothingUnderway(command: "promote" | "abort", { live, last }: Idle): Action {
  if (command === "abort" && last?.phase === "rolled-back") return done("nothing", rolledBackMessage(last, live.name));
  const message = `no release is under way: all traffic is on ${live.name}`;
  if (command === "promote") return done("input", message);
  return done("nothing", `${message}. To go back to an older version, release its image`);
}

function decideUnderway(situation: Situation, state: Underway): Action {
  const { definition, goal, memory, now, seen } = situation;
  const { progress } = state;
  const isAbort = goal.kind === "abort";
  const unapproved = findUnapproved(situation, state);
  if (unapproved !== undefined) return done("input", unapproved);
  if (progress.phase === "swapped") {
    return memory.failed !== undefined && state.live ? goBack(situation, state, memory.failed) : swap(situation, state);
  }
  if (isOlder(situation, progress) && !isAbort) return settle(situation);
  const isSettling = state.isLost && (memory.pending !== undefined || now - progress.since < grace);
  if (progress.phase === "back") {
    return isSettling && !isAbort ? settle(situation) : goBack(situation, state, reasonOf(situation, state));
  }
  if (isAbort) return goBack(situation, state, "aborted");
  const asked = askedFor(situation);
  if (typeof asked === "string") return done("input", asked);
  if (asked && asked.id !== progress.id) return refuseOther(situation, state, asked);
  if (!state.isTagged && memory.following !== progress.id) return refuseUntagged(situation, state);
  if (memory.failed !== undefined) return goBack(situation, state, memory.failed);
  const failure = failureOf(definition, state, seen);
  if (state.isChanged && (failure === undefined || progress.approved === "forced")) return refuseChanged(situation);
  if (isApproving(situation, progress) && !state.isLost) return approve(situation, state, failure);
  if (failure !== undefined && progress.approved !== "forced") return goBack(situation, state, failure);
  if (isSettling) return settle(situation);
  if (state.isLost) return restart(situation, state);
  if (progress.phase === "pinned" || progress.phase === "created") return create(situation, state, asked);
  return progress.phase === "testing" ? test(situation, state) : judgePhase(situation, state);
}

/** The tag may have had no room for all of it; without the tag of a way back, what this run knows counts. */
function reasonOf({ memory: { failed } }: Situation, { progress: { reason = "unknown" }, isLost }: Underway): string {
  if (isLost) return failed ?? reason;
  return failed?.replace(/\s+/g, " ").startsWith(reason) ? failed : reason;
}

/** Azure showed a later phase before: it can show an older one again. */
function isOlder({ memory }: Situation, { id, since }: Progress): boolean {
  return memory.pending === undefined && memory.following === id && since < memory.newest;
}

/** Another release is under way. If it has not created its revision, nothing is lost with it. */
function refuseOther(situation: Situation, { progress, next, nextName }: Underway, asked: Candidate): Action {
  if (progress.phase === "pinned" && !next) return pin(situation, progress.from, asked.id);
  const { definition } = situation;
  const image = next ? ` (${imageOf(definition, next) ?? "several containers"})` : "";
  const remedy = `wait for its end, or end it with ${commandFor(definition, "abort")}`;
  return done("input", `the release of ${nextName}${image} is under way: ${remedy}`);
}

/** Why this is not what a person has approved: another release began in the meantime, or the release went on. */
function findUnapproved({ definition, goal, memory }: Situation, { progress, nextName }: Underway): string | undefined {
  if (goal.kind !== "promote" || goal.revision === undefined) return undefined;
  const { revision, step } = goal;
  const isSame = step === undefined || memory.approving === keyOf({ ...progress, phase: "step", step });
  if (revision === nextName && isSame) return undefined;
  const approved = step === undefined ? revision : `step ${step} of ${revision}`;
  const shown = `${describePhase(definition, progress)} of ${nextName}`;
  return `the approval is for ${approved}, but Azure shows ${shown}: look at ${commandFor(definition, "status")}, and decide again`;
}

/** Whether `promote` has not ended yet what it found under way. */
function isApproving({ goal, memory }: Situation, progress: Progress): boolean {
  return goal.kind === "promote" && memory.approving === keyOf(progress) && progress.approved === undefined;
}

/** With a failure, `promote` only says so: the run that works on the release goes back. */
function approve({ definition, goal }: Situation, state: Underway, failure: string | undefined): Action {
  const { progress, nextName } = state;
  const isForced = goal.kind === "promote" && goal.force;
  if (progress.phase !== "step" && progress.phase !== "bake") {
    return done("input", `${nextName} has no traffic yet: \`promote\` ends a step or the bake`);
  }
  if (failure !== undefined && !isForced) {
    return done(
      "input",
      `${failure}. \`promote\` skips a wait, but no check that fails: add --force to skip that, too`,
    );
  }
  const approved: Write = note(
    { ...progress, approved: isForced ? "forced" : "yes" },
    `${describePhase(definition, progress)} is approved`,
  );
  return { ...approved, ignoresLock: true };
}

/** The person who changed release.yaml may have meant another release. */
function refuseChanged({ definition }: Situation): Action {
  const back = `go back with ${commandFor(definition, "abort")}`;
  return done(
    "input",
    `release.yaml has other labels, weights or confirm than when this release started: use that file, or ${back}`,
  );
}

/**
 * Only a run that has seen the tag of the release, or that asks for its image, knows that the table is that of a
 * release: a person can give the label to an older revision, too.
 */
function refuseUntagged({ definition }: Situation, { nextName, weight }: Underway): Action {
  const what = `${nextName} has the label ${definition.labels.next} and ${weight} % of the traffic`;
  const remedy = `go on by \`run\` with its --image, or back with ${commandFor(definition, "abort")}`;
  return done("foreign", `${what}, without the tag of a release, so this command touches nothing: ${remedy}`);
}

/** The tag is lost, or it does not fit the table: what the table shows starts again. */
function restart(situation: Situation, state: Underway): Action {
  const { definition, seen, now, memory } = situation;
  const { progress } = state;
  const base = progress.base ?? memory.base;
  if (progress.phase === "bake" && base === undefined) {
    return goBack(situation, state, "the tag was lost in the bake, and with it the requests to compare with");
  }
  const restarted = { ...progress, base, since: wholeSeconds(now), restarts: seen.restarts ?? progress.restarts };
  return note(restarted, `the tag of the release was lost: ${describePhase(definition, progress)} starts again`);
}
