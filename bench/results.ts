import { median, type Row } from "./measure.ts";
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
  return {
    all: all as readonly Series[],
    find,
    /** Divides our figure by theirs in each round, and returns the median. */
    ratio(connections: number, operation: Operation, figure: keyof Row, ours: Rival, theirs: Rival): number {
      const rows = find(connections, operation, theirs);
      return median(
        find(connections, operation, ours).map((row, round) => row[figure] / (rows[round]?.[figure] ?? Number.NaN)),
      );
    },
  };
}

export type Results = ReturnType<typeof createResults>;
