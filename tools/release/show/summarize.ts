// What a person sees of a situation.
import type { Action, Situation } from "../core/action.ts";
import { imageOf } from "../core/candidate.ts";
import { endOf } from "../core/phases.ts";
import type { State } from "../core/state.ts";
import type { Progress } from "../core/tags.ts";
import { judgeChecks } from "../core/verdict.ts";
import { describePhase } from "../core/words.ts";
import type { Report } from "./report.ts";

export function summarize(situation: Situation, action: Action): Report {
  const { definition, state, seen, now } = situation;
  const isJudged = state.kind === "underway" && (state.progress.phase === "step" || state.progress.phase === "bake");
  const checks = isJudged ? judgeChecks(definition, state, seen) : [];
  return {
    at: now,
    app: definition.app,
    ...sides(situation),
    phase: state.kind === "underway" ? describePhase(definition, state.progress) : state.kind,
    checks,
    probes: isJudged ? probesOf(situation) : [],
    hold: holdOf(state, action),
    // The end says it.
    message: action.kind === "done" ? "" : [`${action.message}.`, ...seen.notes].join(" "),
    until: isJudged && !state.isLost && action.kind === "wait" ? untilOf(situation, state.progress, checks) : undefined,
  };
}

/** Of the extension only while it is needed. A hold ends when a person says so. */
function untilOf({ definition, now }: Situation, progress: Progress, checks: Report["checks"]): number | undefined {
  const end = endOf(definition, progress);
  if (progress.hold) return undefined;
  if (now < end) return end;
  const isExtended = checks.some(({ verdict }) => verdict === "inconclusive");
  return isExtended ? end + definition.inconclusive.extend * 1000 : undefined;
}

function sides({ definition, state, app }: Situation): Pick<Report, "image" | "live" | "next"> {
  if (state.kind === "idle") {
    const image = imageOf(definition, state.live);
    return { image, live: { revision: state.live.name, weight: 100 }, next: undefined };
  }
  if (state.kind === "foreign") {
    const [first] = [...app.traffic].sort((a, b) => b.weight - a.weight);
    const live = { revision: first?.revision ?? "the latest revision", weight: first?.weight ?? 0 };
    return { image: undefined, live, next: undefined };
  }
  const { progress, next, nextName, weight } = state;
  return {
    image: next && imageOf(definition, next),
    live: { revision: progress.from, weight: 100 - weight },
    next: { revision: nextName, weight },
  };
}

function probesOf({ definition, seen }: Situation): Report["probes"] {
  return definition.checks
    .filter(({ source }) => source === "probe")
    .map(({ name }) => ({ name, isFailing: seen.failing.has(name) || seen.silent.has(name) }));
}

function holdOf(state: State, action: Action): string | undefined {
  const written = action.kind === "write" ? action.progress.hold : undefined;
  return written ?? (state.kind === "underway" ? state.progress.hold : undefined);
}
