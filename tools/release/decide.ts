// What to do next: from the definition, the goal, the state of the app and what was seen. Pure: no clock, no requests.
import { type Action, done, lookAgain, note, type Situation, type Wait, type Write } from "./action.ts";
import { type Candidate, candidateOf, imageOf } from "./candidate.ts";
import { goBack, swap } from "./ending.ts";
import { isOnce, isStart } from "./goal.ts";
import { keyOf } from "./memory.ts";
import { create, judgePhase, pin, test } from "./phases.ts";
import { missingSecrets, refusals, refuseTable } from "./refuse.ts";
import type { Idle, Underway } from "./state.ts";
import { type Progress, wholeSeconds } from "./tags.ts";
import { failureOf } from "./verdict.ts";
import { commandFor, describePhase, rolledBackMessage } from "./words.ts";

/** How long Azure may show the tag of a write without its table, before the table counts. */
const grace = 60_000;

/** How long a table must be somebody else's: Azure shows an app and its revisions as they were at different times. */
const foreignFor = 30_000;

export function decide(situation: Situation): Action {
  const { definition, goal, app, state, now, memory } = situation;
  if (state.kind === "idle") return decideIdle(situation, state);
  if (state.kind === "underway") return decideUnderway(situation, state);
  const isOther = !state.isUnderway && memory.following === undefined;
  if (isOther && goal.kind === "run" && !isStart(goal)) return done("nothing", `nothing to do: ${state.message}`);
  const isSettling = memory.pending !== undefined || (state.since !== undefined && now - state.since < grace);
  const isNew = now - (memory.foreignSince ?? now) < foreignFor && !isOnce(goal);
  if (isSettling || isNew) return { ...settle(situation), isPassive: true };
  if (isOther && isStart(goal)) return done("input", refuseTable(definition, app, state.message));
  return done("foreign", `${state.message}. Another tool or a person changed it, so this command touches nothing`);
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
  const { goal, app, memory } = situation;
  const { live, last } = state;
  const ended = last && last.id === memory.following && last.since >= memory.newest ? last : undefined;
  if (ended?.phase === "promoted") return done("promoted", `all traffic is on ${live.name}`);
  if (ended) return done(goal.kind === "abort" ? "aborted" : "rolledBack", rolledBackMessage(ended, live.name));
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
    return isSettling && !isAbort ? settle(situation) : goBack(situation, state, reasonOf(situation, progress));
  }
  if (isAbort) return goBack(situation, state, "aborted");
  const asked = askedFor(situation);
  if (typeof asked === "string") return done("input", asked);
  if (asked && asked.id !== progress.id) return refuseOther(situation, state, asked);
  if (memory.failed !== undefined) return goBack(situation, state, memory.failed);
  const failure = failureOf(definition, state, seen);
  if (isApproving(situation, progress) && !state.isLost) return approve(situation, state, failure);
  if (failure !== undefined && progress.approved !== "forced") return goBack(situation, state, failure);
  if (isSettling) return settle(situation);
  if (state.isLost) return restart(situation, state);
  if (progress.phase === "pinned" || progress.phase === "created") return create(situation, state, asked);
  return progress.phase === "testing" ? test(situation, state) : judgePhase(situation, state);
}

/** The tag may have had no room for all of it. */
function reasonOf({ memory: { failed } }: Situation, { reason = "unknown" }: Progress): string {
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

/** The tag is lost, or it does not fit the table: what the table shows starts again. */
function restart({ definition, seen, now }: Situation, { progress }: Underway): Action {
  const restarted = { ...progress, since: wholeSeconds(now), restarts: seen.restarts ?? progress.restarts };
  return note(restarted, `the tag of the release was lost: ${describePhase(definition, progress)} starts again`);
}
