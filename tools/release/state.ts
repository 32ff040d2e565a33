// What Azure shows of an app -> which state of a release that is. The traffic table counts; the tag adds what the table
// cannot tell.
import type { App, Revision } from "./azure/azure.ts";
import { revisionName } from "./candidate.ts";
import type { Definition } from "./definition.ts";
import { describeTable, isBase, isSwapped, type Table, tableOf, weightIn } from "./table.ts";
import { isId, type Phase, type Progress, parseProgress, releaseTag } from "./tags.ts";

export type State = Idle | Underway | Foreign;

export interface Idle {
  readonly kind: "idle";
  readonly live: Revision;
  /** The release that ended last. */
  readonly last: Progress | undefined;
}

export interface Underway {
  readonly kind: "underway";
  /** As the table shows it: where the tag says something else, isLost is true. */
  readonly progress: Progress;
  readonly isLost: boolean;
  /** undefined: it no longer exists. Only after the swap. */
  readonly live: Revision | undefined;
  /** undefined: Azure does not show it yet, or it is gone. */
  readonly next: Revision | undefined;
  readonly nextName: string;
  /** Of the new revision. */
  readonly weight: number;
  /** All traffic goes to the old revision, and the new one has no label. */
  readonly isBack: boolean;
}

/** Somebody else's traffic table: the release touches nothing. */
interface Foreign {
  readonly kind: "foreign";
  readonly message: string;
  /** The tag says that a release is under way. */
  readonly isUnderway: boolean;
  /** When the release last wrote its tag, if there is one under way: Azure may show the table of this write soon. */
  readonly since: number | undefined;
}

export function stateOf(definition: Definition, app: App): State {
  const progress = parseProgress(app.tags[releaseTag]);
  const table = tableOf(app, definition.labels);
  if (progress && progress.phase !== "promoted" && progress.phase !== "rolled-back") {
    return underway(definition, app, table, progress);
  }
  return lost(definition, app, table, progress) ?? idle(app, table, progress);
}

function underway(definition: Definition, app: App, table: Table, progress: Progress): State {
  const nextName = revisionName(definition, progress.id);
  const find = (name: string) => app.revisions.find((revision) => revision.name === name);
  const live = find(progress.from);
  const split = weightIn(table, progress.from, nextName);
  const isBack = isBase(table, progress.from, nextName);
  const hasSwapped = isSwapped(table, progress.from, nextName);
  const shown = shownPhase();
  if (app.mode !== "Multiple" || shown === undefined) {
    return foreign(app, `the release ${progress.id} is at ${progress.phase}`, progress.since);
  }
  if (!live && shown.phase !== "swapped") {
    const message = `${progress.from}, to go back to, no longer exists`;
    return { kind: "foreign", message, isUnderway: true, since: undefined };
  }
  const isLost = shown.phase !== progress.phase || shown.step !== progress.step;
  return {
    kind: "underway",
    progress: isLost ? { ...progress, ...shown, approved: undefined, hold: undefined } : progress,
    isLost,
    live,
    next: find(nextName),
    nextName,
    weight: hasSwapped ? 100 : (split ?? 0),
    isBack,
  };

  function shownPhase(): Pick<Progress, "phase" | "step" | "reason"> | undefined {
    const { phase, step, reason } = progress;
    if (!isBack && !hasSwapped && split === undefined) return undefined;
    if (phase === "back") return { phase, step, reason };
    if (hasSwapped) return { phase: "swapped", step, reason };
    if (split !== undefined) return phaseOf(definition, split, step);
    if (phase === "pinned" || phase === "created") return { phase, step, reason };
    // The label has gone although the tag does not say so: two writes crossed, or somebody sent the traffic back.
    return { phase: "back", step, reason: `another change sent all traffic back to ${progress.from}` };
  }
}

/** @param step that the tag says: two steps may have the same weight */
function phaseOf({ steps }: Definition, weight: number, step: number): { phase: Phase; step: number } | undefined {
  if (weight === 0) return { phase: "testing", step: 0 };
  if (weight === 100) return { phase: "bake", step: steps.length };
  if (steps[step - 1]?.weight === weight) return { phase: "step", step };
  const found = steps.findIndex((one) => one.weight === weight);
  return found < 0 ? undefined : { phase: "step", step: found + 1 };
}

/** The tag is gone, but the table is that of a release: both labels, and the new revision has a name of a release. */
function lost(definition: Definition, app: App, table: Table, last: Progress | undefined): State | undefined {
  const { live, next } = table;
  const id = next?.split("--").at(-1) ?? "";
  if (app.mode !== "Multiple" || !live || !isId(id) || next !== revisionName(definition, id)) return undefined;
  if (last?.id === id) return undefined;
  const weight = weightIn(table, live, next);
  const shown = weight === undefined ? undefined : phaseOf(definition, weight, 0);
  if (!shown) return undefined;
  const state = underway(definition, app, table, { id, ...shown, since: 0, from: live });
  return state.kind === "underway" ? { ...state, isLost: true } : state;
}

function idle(app: App, table: Table, last: Progress | undefined): State {
  const names = app.mode === "Single" ? [app.latestReadyRevision] : [...table.weights.keys()];
  const live = app.revisions.find(({ name }) => name === names[0]);
  if (app.latestReadyRevision === undefined && (app.mode === "Single" || table.hasLatest)) {
    const message = "no revision of the app is ready to compare with";
    return { kind: "foreign", message, isUnderway: false, since: undefined };
  }
  if (names.length === 1 && live) return { kind: "idle", live, last };
  return foreign(app, "no release is under way", undefined);
}

function foreign(app: App, but: string, since: number | undefined): Foreign {
  const table = app.mode === "Multiple" ? describeTable(app) : `${describeTable(app)}, in the mode ${app.mode}`;
  return { kind: "foreign", message: `the traffic is ${table}, but ${but}`, isUnderway: since !== undefined, since };
}
