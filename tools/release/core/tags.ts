// The tags of the app that keep the progress of a release. Azure replaces all tags at once, so each write sends all.

export const releaseTag = "release-progress";
export const lockTag = "release-lock";

/** Of the value of a tag: a limit of Azure. */
export const maxLength = 256;

/**
 * In the order of a good release:
 * pinned: the live revision has all traffic by its name. created: the new revision exists or is being created.
 * testing: it has its label. step: it has the weight of a step. bake: it has all traffic, and the old revision still
 * runs. swapped: it is the live one. promoted: the old revision is inactive.
 * In the order of a bad one: back: all traffic goes back to the old revision. rolled-back: the new one is inactive.
 */
export const phases = [
  "pinned",
  "created",
  "testing",
  "step",
  "bake",
  "swapped",
  "promoted",
  "back",
  "rolled-back",
] as const;

export type Phase = (typeof phases)[number];

/**
 * Why a release waits for a person. confirm: the step asks for it. share: the traffic is not split by the weights.
 * stopped: somebody stopped the live revision. silent: probes fail at both revisions. blind: Azure does not return the
 * counts.
 */
export const holds = ["confirm", "inconclusive", "outage", "share", "stopped", "silent", "blind"] as const;

export type Hold = (typeof holds)[number];

export interface Progress {
  /** Of the release, and the suffix of its revision. */
  readonly id: string;
  readonly phase: Phase;
  /** The step that was reached last, from 1. */
  readonly step: number;
  /** When the phase started: milliseconds since 1970, whole seconds, by the clock of Azure. */
  readonly since: number;
  /** The revision that was live before. */
  readonly from: string;
  /** Fingerprint of the definition that the release started with, from planOf. undefined: not known */
  readonly plan?: string | undefined;
  /** When the last step started, in the bake: until then, the old revision had requests to compare with. */
  readonly base?: number | undefined;
  /** Restarts of the replicas of the new revision before it was ready. undefined: not known, so none is judged. */
  readonly restarts?: number | undefined;
  /** `promote` ends this step or the bake. forced: even if a check fails. */
  readonly approved?: "yes" | "forced" | undefined;
  readonly hold?: Hold | undefined;
  /** Why the release goes back. */
  readonly reason?: string | undefined;
}

export function formatProgress(progress: Progress): string {
  const { id, phase, step, since, from, plan, base, restarts, approved, hold, reason } = progress;
  const words = [`id=${id}`, `phase=${phase}`, `step=${step}`, `since=${formatTime(since)}`, `from=${from}`];
  if (plan !== undefined) words.push(`plan=${plan}`);
  if (base !== undefined) words.push(`base=${formatTime(base)}`);
  if (restarts !== undefined) words.push(`restarts=${restarts}`);
  if (approved !== undefined) words.push(`approved=${approved}`);
  if (hold !== undefined) words.push(`hold=${hold}`);
  // Last, because it contains spaces.
  if (reason !== undefined) words.push(`reason=${reason.replace(/\s+/g, " ")}`);
  return words.join(" ").slice(0, maxLength).trimEnd();
}

/** @returns undefined if the text is not the progress of a release */
export function parseProgress(text: string | undefined): Progress | undefined {
  const [, words = "", reason] = text?.match(/^(.*?)(?: reason=(.*))?$/s) ?? [];
  const values = new Map(words.split(" ").map((word) => split(word, "=")));
  const id = values.get("id");
  const phase = phases.find((name) => name === values.get("phase"));
  const step = wholeNumber(values.get("step"));
  const since = parseTime(values.get("since"));
  const from = values.get("from");
  if (!id || !isId(id) || !phase || step === undefined || since === undefined || !from) return undefined;
  return {
    id,
    phase,
    step,
    since,
    from,
    plan: values.get("plan")?.match(/^[0-9a-f]{6}$/)?.[0],
    base: parseTime(values.get("base")),
    restarts: wholeNumber(values.get("restarts")),
    approved: (["yes", "forced"] as const).find((name) => name === values.get("approved")),
    hold: holds.find((name) => name === values.get("hold")),
    reason,
  };
}

/** Whether the suffix of a revision comes from a release. */
export const isId = (suffix: string) => /^r[0-9a-f]{8}$/.test(suffix);

/** e.g. 2026-11-26T11:00:00Z */
export const formatTime = (time: number) => new Date(wholeSeconds(time)).toISOString().replace(".000Z", "Z");

export const wholeSeconds = (time: number) => Math.floor(time / 1000) * 1000;

export function parseTime(text: string | undefined): number | undefined {
  if (!text || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

const wholeNumber = (text: string | undefined) => (text && /^\d{1,6}$/.test(text) ? Number(text) : undefined);

function split(word: string, separator: string): [string, string] {
  const at = word.indexOf(separator);
  return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
}
