import type { History, Operation } from "./checker.ts";

/** Microseconds since the start of the process. */
export const now = () => Math.round(performance.now() * 1000);

/** Operations that take longer count as hit by a fault, in microseconds. */
const LONG = 100_000;

export interface Recorder {
  /** Names keys of new histories: of two single keys, and of two keys of one partition. */
  startHistories(): Keys;
  /** Names keys with a history each; `end` is the end of their names. */
  startSingles(count: number, end?: string): string[];
  record(operation: Operation): void;
  /** How many operations a fault in this time hit. */
  countHits(start: number, end: number): number;
  histories(): History[];
  keys(): string[];
  counts(): { operations: number; ok: number; rejected: number; failed: number; unknown: number };
}

export interface Keys {
  readonly single: readonly [string, string];
  readonly partition: readonly [string, string];
}

/** Records what clients did, in one history for each key or partition. */
export function createRecorder(lag: number): Recorder {
  const histories = new Map<string, { name: string; keys: readonly string[]; operations: Operation[] }>();
  /** The times of operations that failed, stayed unknown or took long. */
  const troubles: { start: number; end: number }[] = [];
  let started = 0;
  const add = (name: string, keys: readonly string[]) => {
    const history = { name, keys, operations: [] };
    for (const key of keys) histories.set(key, history);
  };
  const all = () => [...new Set(histories.values())];

  return {
    startHistories() {
      const name = `h${started++}`;
      const keys: Keys = { single: [`${name}a`, `${name}b`], partition: [`${name}p~a`, `${name}p~b`] };
      for (const key of keys.single) add(key, [key]);
      add(`${name}p`, keys.partition);
      return keys;
    },
    startSingles(count, end = "") {
      const keys = Array.from({ length: count }, () => `s${started++}${end}`);
      for (const key of keys) add(key, [key]);
      return keys;
    },
    record(operation) {
      const key = operation.read?.key ?? operation.changes?.[0]?.key ?? "";
      const history = histories.get(key);
      if (!history) throw new Error(`no history has the key ${key}`);
      history.operations.push(operation);
      const { start, end, outcome } = operation;
      const isTrouble = outcome === "failed" || outcome === "unknown" || end - start > LONG;
      if (isTrouble) troubles.push({ start, end });
    },
    countHits: (start, end) => troubles.filter((trouble) => trouble.start < end && trouble.end > start).length,
    histories: () => all().map((history) => (lag > 0 ? { ...history, lag } : history)),
    keys: () => [...histories.keys()],
    counts() {
      const counts = { operations: 0, ok: 0, rejected: 0, failed: 0, unknown: 0 };
      for (const { operations } of all()) {
        for (const { outcome } of operations) {
          counts.operations++;
          counts[outcome]++;
        }
      }
      return counts;
    },
  };
}
