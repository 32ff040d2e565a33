// What Azure shows of an app -> which state of a release that is. The traffic table counts; the tag adds what the table
// cannot tell.
import type { App, Revision } from "../azure/azure.ts";
import { type Definition, planOf } from "../definition/definition.ts";
import { revisionName } from "./candidate.ts";
import { describeTable, isBase, isSwapped, type Table, tableOf, weightIn, weightOf } from "./table.ts";
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
  /** false: no tag says that a release is under way, but the table looks like one. */
  readonly isTagged: boolean;
  /** The release started with another definition. */
  readonly isChanged: boolean;
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
export interface Foreign {
  readonly kind: "foreign";
  readonly message: string;
  /** The tag says that this release is under way. Its `since`: Azure may show the table of this write soon. */
  readonly release: Release | undefined;
  /** The release that ended last. */
  readonly last: Progress | undefined;
}

type Release = Pick<Underway, "progress" | "live" | "next" | "nextName"> & {
  /** Of the new revision, if all traffic is on the two revisions of the release. */
  readonly weight: number | undefined;
};

export function stateOf(definition: Definition, app: App): State {
  const progress = parseProgress(app.tags[releaseTag]);
  const table = tableOf(app, definition.labels);
  if (progress && progress.phase !== "promoted" && progress.phase !== "rolled-back") {
    return underway(definition, app, table, progress);
  }
  return lost(definition, app, table, progress) ?? idle(app, table, progress);
}

function underway(definition: Definition, app: App, table: Table, progress: Progress): Underway | Foreign {
  const { from } = progress;
  const nextName = revisionName(definition, progress.id);
  const find = (name: string) => app.revisions.find((revision) => revision.name === name);
  const [live, next] = [find(from), find(nextName)];
  const isChanged = progress.plan !== undefined && progress.plan !== planOf(definition);
  const weight = app.mode === "Multiple" ? weightOf(table, from, nextName) : undefined;
  const isBack = isBase(table, from, nextName);
  const split = weightIn(table, from, nextName);
  const hasSwapped = isSwapped(table, from, nextName);
  const shown = weight === undefined ? undefined : isChanged ? toldPhase(weight) : shownPhase();
  const release = { progress, live, next, nextName, weight };
  if (weight === undefined || shown === undefined) {
    return foreign(app, `the release ${progress.id} is at ${progress.phase}`, release);
  }
  if (!live && shown.phase !== "swapped") {
    const message = `${from}, to go back to, no longer exists`;
    return { kind: "foreign", message, release, last: undefined };
  }
  const isLost = shown.phase !== progress.phase || shown.step !== progress.step;
  const found = isLost ? { ...progress, ...shown, approved: undefined, hold: undefined } : progress;
  return { kind: "underway", progress: found, isLost, isTagged: true, isChanged, live, next, nextName, weight, isBack };

  function shownPhase(): Shown | undefined {
    const { phase, step, reason } = progress;
    if (!isBack && !hasSwapped && split === undefined) return undefined;
    if (phase === "back") return { phase, step, reason };
    if (hasSwapped) return { phase: "swapped", step, reason };
    if (split !== undefined) {
      return split < toldWeight(definition, progress) ? sentBack(split) : phaseOf(definition, split, step);
    }
    if (phase === "pinned" || phase === "created") return { phase, step, reason };
    // The label has gone although the tag does not say so: two writes crossed, or somebody sent the traffic back.
    return sentBack(0);
  }

  /** Another definition does not know the steps: the tag counts, unless somebody sent the traffic back. */
  function toldPhase(shownWeight: number): Shown {
    const { phase, step, reason } = progress;
    const isSentBack = shownWeight === 0 && (phase === "step" || phase === "bake" || phase === "swapped");
    return isSentBack ? sentBack(0) : { phase, step, reason };
  }

  function sentBack(to: number): Shown {
    const what = to === 0 ? "all traffic" : "traffic";
    return { phase: "back", step: progress.step, reason: `another change sent ${what} back to ${from}` };
  }
}

type Shown = Pick<Progress, "phase" | "step" | "reason">;

/** The weight that the new revision has by the tag. */
function toldWeight({ steps }: Definition, { phase, step }: Progress): number {
  if (phase === "bake" || phase === "swapped") return 100;
  return phase === "step" ? (steps[step - 1]?.weight ?? 0) : 0;
}

/** @param step that the tag says: two steps may have the same weight */
function phaseOf({ steps }: Definition, weight: number, step: number): { phase: Phase; step: number } | undefined {
  if (weight === 0) return { phase: "testing", step: 0 };
  if (weight === 100) return { phase: "bake", step: steps.length };
  if (steps[step - 1]?.weight === weight) return { phase: "step", step };
  const found = steps.findIndex((one) => one.weight === weight);
  return found < 0 ? undefined : { phase: "step", step: found + 1 };
}

/**
 * The tag is gone, but the table is that of a release: both labels, and the new revision has a name of a release and
 * some traffic. Without traffic, the next `run` of the same image gives it its tag again.
 */
function lost(definition: Definition, app: App, table: Table, last: Progress | undefined): State | undefined {
  const { live, next } = table;
  const id = next?.split("--").at(-1) ?? "";
  if (app.mode !== "Multiple" || !live || !isId(id) || next !== revisionName(definition, id)) return undefined;
  if (last?.id === id) return undefined;
  const weight = weightIn(table, live, next);
  const shown = weight ? phaseOf(definition, weight, 0) : undefined;
  if (!shown) return undefined;
  const plan = planOf(definition);
  const state = underway(definition, app, table, { id, ...shown, since: 0, from: live, plan });
  return state.kind === "underway" ? { ...state, isLost: true, isTagged: false } : { ...state, release: undefined };
}

function idle(app: App, table: Table, last: Progress | undefined): State {
  const names = app.mode === "Single" ? [app.latestReadyRevision] : [...table.weights.keys()];
  const live = app.revisions.find(({ name }) => name === names[0]);
  if (app.latestReadyRevision === undefined && (app.mode === "Single" || table.hasLatest)) {
    return { kind: "foreign", message: "no revision of the app is ready to compare with", release: undefined, last };
  }
  if (names.length === 1 && live) return { kind: "idle", live, last };
  return foreign(app, "no release is under way", undefined, last);
}

function foreign(app: App, but: string, release: Release | undefined, last?: Progress): Foreign {
  const table = app.mode === "Multiple" ? describeTable(app) : `${describeTable(app)}, in the mode ${app.mode}`;
  return { kind: "foreign", message: `the traffic is ${table}, but ${but}`, release, last };
}
