import { type Figure, median, type Row } from "./measure.ts";
import type { Operation, Rival } from "./rivals.ts";

interface Series {
  readonly connections: number;
  readonly operation: Operation;
  readonly rival: Rival;
  /** One row for each round. */
  readonly rows: Row[];
}

/** Collects the rows of all rounds. */
export function createResults() {
  const all: Series[] = [];
  const find = (connections: number, operation: Operation, rival: Rival): Row[] => {
    const found = all.find(
      (series) => series.connections === connections && series.operation === operation && series.rival === rival,
    );
    if (found) return found.rows;
    const rows: Row[] = [];
    all.push({ connections, operation, rival, rows });
    return rows;
  };
  /** In each round: NaN when a request of the rival failed in any. */
  const list = (connections: number, operation: Operation, figure: Figure, rival: Rival): number[] => {
    const rows = find(connections, operation, rival);
    const failed = rows.some(({ failures }) => failures > 0);
    return rows.map((row) => (failed ? Number.NaN : row[figure]));
  };
  return {
    all: all as readonly Series[],
    find,
    /** The median of all rounds; NaN when a request failed. */
    figure: (connections: number, operation: Operation, figure: Figure, rival: Rival): number =>
      median(list(connections, operation, figure, rival)),
    /** Divides our figure by theirs in each round, and returns the median: NaN when a request of either failed. */
    ratio(connections: number, operation: Operation, figure: Figure, ours: Rival, theirs: Rival): number {
      const others = list(connections, operation, figure, theirs);
      return median(
        list(connections, operation, figure, ours).map((value, round) => value / (others[round] ?? Number.NaN)),
      );
    },
  };
}

export type Results = ReturnType<typeof createResults>;
