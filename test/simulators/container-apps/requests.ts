// The requests that an app got, by minute, as metrics and logs show them later: really sent ones, or made up ones.
import type { Clock } from "../../../tools/release/run/clock.ts";
import type { App } from "./app.ts";
import { createRandom, type Random, seedOf } from "./random.ts";
import { isReady, type Revision } from "./revision.ts";
import { slowness, type Variant } from "./variants.ts";

/** A request, or many of one minute that are alike. */
export interface Row {
  /** When the first response was sent. */
  readonly at: number;
  readonly revision: string;
  readonly status: number;
  /** Milliseconds. */
  readonly duration: number;
  readonly authority: string;
  readonly userAgent: string;
  readonly count: number;
}

/** Part of a minute during which nothing changes. Times are in milliseconds since 1970. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly revision: string;
  readonly variant: Variant;
  /** Percent. */
  readonly weight: number;
  readonly random: Random;
}

interface MadeUp {
  readonly total: number;
  /** How many of them get 500. */
  readonly bad: number;
  /** How many of them take two seconds longer. */
  readonly slow?: number;
}

/** The requests that a revision gets in a stretch, as if its replicas were ready. */
export type Workload = (stretch: Stretch) => MadeUp;

export interface Requests {
  add(row: Row): void;
  /** The requests of the minute that starts at this time. A minute that is not over has only those that were sent. */
  inMinute(start: number): readonly Row[];
}

export const minute = 60_000;

/** As many requests as a Poisson process has, with the errors and the slow requests of the image's variant. */
export function steady({
  perSecond,
  errors = 0,
}: {
  perSecond: number;
  /** Share of errors that every revision has. */
  errors?: number | ((stretch: Stretch) => number);
}): Workload {
  return (stretch) => {
    const { from, to, weight, variant, random } = stretch;
    const total = random.poisson((perSecond * (to - from) * weight) / 100_000);
    const common = typeof errors === "number" ? errors : errors(stretch);
    const own = weight >= (variant.errorsFromWeight ?? 0) ? (variant.errors ?? 0) : 0;
    const bad = random.binomial(total, 1 - (1 - common) * (1 - own));
    return { total, bad, slow: random.binomial(total, variant.slow ?? 0) };
  };
}

/** @param workload Makes up the requests of the minutes that are over; undefined: only sent ones count. */
export function createRequests(app: App, clock: Clock, seed: number, workload: Workload | undefined): Requests {
  const sent = new Map<number, Map<string, Row>>();
  const madeUp = new Map<number, readonly Row[]>();
  return {
    add(row) {
      const start = Math.floor(row.at / minute) * minute;
      const rows = sent.get(start) ?? new Map<string, Row>();
      sent.set(start, rows);
      // Hours of load fit into the memory, because rows that are alike are one.
      const { revision, status, duration, authority, userAgent } = row;
      const key = [revision, status, duration, authority, userAgent].join("\n");
      const known = rows.get(key);
      rows.set(key, known ? { ...known, count: known.count + row.count } : row);
    },
    inMinute(start) {
      const rows = [...(sent.get(start)?.values() ?? [])];
      if (!workload || start < app.createdAt || start + minute > clock.now()) return rows;
      const made = madeUp.get(start) ?? makeUp(app, start, seed, workload);
      madeUp.set(start, made);
      return [...rows, ...made];
    },
  };
}

function makeUp(app: App, start: number, seed: number, workload: Workload): Row[] {
  const random = createRandom(seed ^ seedOf(String(start)));
  const times = [start, ...app.changesIn(start, start + minute), start + minute];
  return times.slice(1).flatMap((to, index) => {
    const from = times[index] ?? start;
    const weights = app.weightsOf(app.splitAt(from), from);
    return app.revisions.flatMap((revision) => {
      const weight = weights.get(revision.name);
      if (weight === undefined) return [];
      const { variant, name } = revision;
      return toRows(revision, from, workload({ from, to, revision: name, variant, weight, random }), app.name);
    });
  });
}

/** A revision that is not ready answers nothing: the ingress answers 503. */
function toRows(revision: Revision, at: number, { total, bad, slow = 0 }: MadeUp, authority: string): Row[] {
  const common = { at, revision: revision.name, authority, userAgent: "workload" };
  const rows: Row[] = isReady(revision, at)
    ? [
        { ...common, status: 200, duration: 5, count: total - bad - Math.min(slow, total - bad) },
        { ...common, status: 200, duration: 5 + slowness, count: Math.min(slow, total - bad) },
        { ...common, status: 500, duration: 5, count: bad },
      ]
    : [{ ...common, status: 503, duration: 1, count: total }];
  return rows.filter(({ count }) => count > 0);
}
