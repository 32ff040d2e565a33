// The traffic table of an app: what it means, and how a release writes it.
import type { App, Share } from "../azure/azure.ts";
import type { Definition } from "../definition/definition.ts";

type Labels = Definition["labels"];

/** A table without the parts that no release looks at: weights by revision, and the revisions of both labels. */
export interface Table {
  /** Without those of weight 0. */
  readonly weights: ReadonlyMap<string, number>;
  readonly live: string | undefined;
  readonly next: string | undefined;
  /** A weight goes to the latest revision, whichever it is. */
  readonly hasLatest: boolean;
}

export function tableOf({ traffic, latestReadyRevision }: App, labels: Labels): Table {
  const weights = new Map<string, number>();
  for (const { revision = latestReadyRevision ?? "", weight } of traffic) {
    if (weight > 0) weights.set(revision, (weights.get(revision) ?? 0) + weight);
  }
  const holder = (label: string) => traffic.find((share) => share.label === label)?.revision;
  return {
    weights,
    live: holder(labels.live),
    next: holder(labels.next),
    hasLatest: traffic.some(({ revision, weight }) => revision === undefined && weight > 0),
  };
}

/** All traffic goes to the live revision, and no label to the new one. */
export function isBase(table: Table, from: string, candidate: string): boolean {
  return table.live === from && table.next !== candidate && table.weights.get(from) === 100 && !table.hasLatest;
}

/** @returns the weight of the new revision if nothing but these two has traffic, whatever their labels are */
export function weightOf({ weights, hasLatest }: Table, from: string, candidate: string): number | undefined {
  const weight = weights.get(candidate) ?? 0;
  return !hasLatest && weight + (weights.get(from) ?? 0) === 100 ? weight : undefined;
}

/** @returns the weight of the new revision if the table splits the traffic between both as a release does */
export function weightIn(table: Table, from: string, candidate: string): number | undefined {
  return table.live === from && table.next === candidate ? weightOf(table, from, candidate) : undefined;
}

/** The new revision is the live one. */
export function isSwapped(table: Table, from: string, candidate: string): boolean {
  return isBase(table, candidate, from);
}

/** The table of the app with all traffic for one revision, which gets the label of the live one. */
export function onlyTable(app: App, labels: Labels, revision: string): Share[] {
  return [{ revision, weight: 100, label: labels.live }, ...otherLabels(app, labels)];
}

/** As onlyTable, but the label of the next revision stays where it is, if it is not on this one. */
export function pinnedTable(app: App, labels: Labels, revision: string): Share[] {
  const next = app.traffic.filter((share) => share.label === labels.next && share.revision !== revision);
  return [...onlyTable(app, labels, revision), ...next.map((share) => ({ ...share, weight: 0 }))];
}

export function splitTable(app: App, labels: Labels, from: string, candidate: string, weight: number): Share[] {
  return [
    { revision: from, weight: 100 - weight, label: labels.live },
    { revision: candidate, weight, label: labels.next },
    ...otherLabels(app, labels),
  ];
}

/**
 * Labels of the user keep their addresses, and get no share of the traffic. One on the latest revision keeps the
 * revision that it has now: else it would show the new one before its tests.
 */
function otherLabels({ traffic, latestReadyRevision }: App, { live, next }: Labels): Share[] {
  return traffic
    .filter(({ label }) => label !== undefined && label !== live && label !== next)
    .map(({ revision = latestReadyRevision, ...share }) => ({ ...share, revision, weight: 0 }));
}

/** e.g. `welcome--a 95 % (blue), welcome--b 5 % (green)` */
export function describeTable({ traffic }: App): string {
  const shares = traffic.map(
    ({ revision = "the latest revision", weight, label }) => `${revision} ${weight} %${label ? ` (${label})` : ""}`,
  );
  return shares.join(", ") || "nothing";
}

/** Whether two tables are the same for a release. */
export function isSameTable(one: Table, other: Table): boolean {
  return (
    one.live === other.live &&
    one.next === other.next &&
    one.hasLatest === other.hasLatest &&
    one.weights.size === other.weights.size &&
    [...one.weights].every(([revision, weight]) => other.weights.get(revision) === weight)
  );
}
