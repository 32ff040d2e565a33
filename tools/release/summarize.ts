// What a person sees of a situation.
import type { Action, Situation } from "./action.ts";
import { imageOf } from "./candidate.ts";
import { endOf } from "./phases.ts";
import type { Report } from "./report.ts";
import type { State } from "./state.ts";
import type { Progress } from "./tags.ts";
import { judgeChecks } from "./verdict.ts";
import { describePhase } from "./words.ts";

export function summarize(situation: Situation, action: Action): Report {
  const { definition, state, seen, now } = situation;
  const isJudged = state.kind === "underway" && (state.progress.phase === "step" || state.progress.phase === "bake");
  return {
    at: now,
    app: definition.app,
    ...sides(situation),
    phase: state.kind === "underway" ? describePhase(definition, state.progress) : state.kind,
    checks: isJudged ? judgeChecks(definition, state, seen) : [],
    probes: isJudged ? probesOf(situation) : [],
    hold: holdOf(state, action),
    message: [`${action.message}.`, ...seen.notes].join(" "),
    until: isJudged && !state.isLost ? untilOf(situation, state.progress) : undefined,
  };
}

/** While too few requests came, the end of the extension. A hold ends when a person says so. */
function untilOf({ definition, now }: Situation, progress: Progress): number | undefined {
  const end = endOf(definition, progress);
  if (progress.hold) return undefined;
  return now < end ? end : end + definition.inconclusive.extend * 1000;
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
