// The phases of a good release, one after the other.

import { type Definition, planOf } from "../definition/definition.ts";
import { type Action, done, lookAgain, note, type Situation, slowLook, type Write, wait } from "./action.ts";
import type { Candidate } from "./candidate.ts";
import { goBack } from "./ending.ts";
import { testsOf } from "./memory.ts";
import type { Underway } from "./state.ts";
import { onlyTable, pinnedTable, splitTable } from "./table.ts";
import { formatTime, type Hold, type Progress, wholeSeconds } from "./tags.ts";
import { describeState, hasPassed, isBlind, isSplitWrong, judgeChecks, whyUndecided } from "./verdict.ts";
import { judgedFrom } from "./windows.ts";
import { describePhase, holdMessage, holdReason } from "./words.ts";

/** How long Azure may take to create a revision, and the revision to become ready. */
const readyLimit = 10 * 60_000;

/** How long Azure may take to list a revision whose operation has ended. */
const listedWithin = 15_000;

/** How long the end of a phase waits for counts when Azure Monitor returns an error. */
const blindLimit = 5 * 60_000;

const up = { kind: "write", moves: "up" } as const;

/** The first write of a release: a new revision gets no traffic by itself. */
export function pin({ definition, app, now }: Situation, live: string, id: string): Write {
  return {
    ...up,
    ...(app.mode === "Multiple" ? {} : { mode: "Multiple" }),
    progress: { id, phase: "pinned", step: 0, since: wholeSeconds(now), from: live, plan: planOf(definition) },
    traffic: pinnedTable(app, definition.labels, live),
    message: `all traffic stays on ${live}, by its name`,
  };
}

/** Until the new revision is ready. It may exist already, inactive: then an earlier release of it was rolled back. */
export function create(situation: Situation, state: Underway, asked: Candidate | undefined): Action {
  const { definition, app, now, seen } = situation;
  const { progress, next, nextName } = state;
  if (!next && progress.phase === "pinned") {
    if (!asked) {
      const where = `the release ${progress.id} ended before it created its revision, all traffic is on ${progress.from}`;
      return done("nothing", `${where}. Start it again with \`run\` and its --image`);
    }
    const created: Progress = { ...progress, phase: "created", since: wholeSeconds(now) };
    return { ...up, progress: created, template: asked.template, message: `creates ${nextName}` };
  }
  if (next?.isActive && next.health === "healthy") {
    return {
      ...up,
      progress: { ...progress, phase: "testing", step: 0, since: wholeSeconds(now), restarts: seen.restarts },
      traffic: splitTable(app, definition.labels, progress.from, nextName, 0),
      message: `${nextName} gets the label ${definition.labels.next}`,
    };
  }
  const wasRefused = !next && app.failure !== undefined && !app.isBusy && now - progress.since >= listedWithin;
  if (wasRefused) return goBack(situation, state, `Azure did not create it: ${app.failure}`);
  // A run that takes over a dead one may come late: what is ready by then is good enough.
  if (now - progress.since >= readyLimit) {
    const why = next
      ? `did not become ready within 10 minutes (${describeState(next, seen)})`
      : "was not created within 10 minutes";
    return goBack(situation, state, `${nextName} ${why}`);
  }
  if (!next) return lookAgain(situation, `waits until Azure has created ${nextName}`);
  if (!next.isActive) return { kind: "activate", revision: nextName, message: `activates ${nextName}` };
  return lookAgain(situation, `waits until ${nextName} is ready (${describeState(next, seen)})`);
}

export function test(situation: Situation, state: Underway): Action {
  const { seen, memory } = situation;
  const tests = memory.tested === testsOf(state.progress) ? ({ ok: true } as const) : seen.tests;
  if (state.live?.isActive === false) {
    return done("held", `${state.live.name} has all traffic, but is inactive: activate it, then \`run\` again`);
  }
  if (!tests) return { kind: "test", message: `tests ${state.nextName}` };
  return tests.ok ? advance(situation, state) : goBack(situation, state, tests.message);
}

/** A step or the bake. Failures are handled before. */
export function judgePhase(situation: Situation, state: Underway): Action {
  const { definition, now, seen } = situation;
  const { progress } = state;
  if (progress.approved) return advance(situation, state);
  if (!progress.hold && state.live?.isActive === false) return hold(definition, progress, "stopped");
  if (progress.hold) return done("held", holdMessage(definition, progress));
  const isOutage = judgeChecks(definition, state, seen).some(({ verdict }) => verdict === "outage");
  if (isOutage) return hold(definition, progress, "outage");
  if (isSplitWrong(definition, state, seen)) return hold(definition, progress, "share");
  const name = describePhase(definition, progress);
  const end = endOf(definition, progress);
  if (now < end)
    return wait(
      Math.min(now + slowLook, end),
      `compares the requests from ${formatTime(judgedFrom(progress)).slice(11, 16)} UTC on`,
    );
  if (hasPassed(definition, state, seen)) {
    const asks = progress.phase === "step" && definition.steps[progress.step - 1]?.confirm;
    return asks ? hold(definition, progress, "confirm") : advance(situation, state);
  }
  const lastEnd = end + definition.inconclusive.extend * 1000;
  if (now < lastEnd) return wait(Math.min(now + slowLook, lastEnd), `${name}: goes on for more requests to decide`);
  if (now < lastEnd + blindLimit && isBlind(definition, seen))
    return wait(now + slowLook, `${name}: waits for the counts`);
  const why = whyUndecided(definition, seen);
  if (definition.inconclusive.then === "hold") return hold(definition, progress, why);
  return goBack(situation, state, `${name} ${holdReason(definition, why)}`);
}

/** When a step or the bake ends at the earliest. */
export function endOf({ steps, bake }: Definition, { phase, step, since }: Progress): number {
  return since + (phase === "bake" ? bake : (steps[step - 1]?.for ?? 0)) * 1000;
}

/** From the tests to the first step, from step to step, to the bake, and to the swap. */
function advance({ definition, app, now, seen }: Situation, { progress, nextName }: Underway): Write {
  const { labels, steps } = definition;
  // A person has accepted the restarts that there were.
  const restarts = progress.approved === "forced" ? (seen.restarts ?? progress.restarts) : progress.restarts;
  const clean: Progress = { ...progress, since: wholeSeconds(now), approved: undefined, hold: undefined, restarts };
  if (progress.phase === "bake") {
    return {
      ...up,
      progress: { ...clean, phase: "swapped" },
      traffic: onlyTable(app, labels, nextName),
      message: `${nextName} gets the label ${labels.live}`,
    };
  }
  const step = steps[progress.step];
  const weight = step?.weight ?? 100;
  return {
    ...up,
    progress: step
      ? { ...clean, phase: "step", step: progress.step + 1 }
      : { ...clean, phase: "bake", base: progress.phase === "step" ? progress.since : undefined },
    traffic: splitTable(app, labels, progress.from, nextName, weight),
    message: `${nextName} gets ${weight} % of the traffic`,
  };
}

function hold(definition: Definition, progress: Progress, why: Hold): Write {
  const held = { ...progress, hold: why };
  return { ...note(held, holdMessage(definition, held)), isLast: true };
}
