/** An operation on a register, as its client saw it. */
export interface Observed<State> {
  /** For the drawing of a failed history. */
  readonly what: string;
  /** When the client called and when it got the outcome, on a clock that no two events share. */
  readonly start: number;
  /** Infinity when the outcome is unknown: the operation took effect at any time after `start`, or never. */
  readonly end: number;
  /** True unless the outcome says that the operation changed nothing, as those of a read and of a conflict do. */
  readonly changes: boolean;
  /** The state after the operation; undefined when it cannot have had its outcome in the state `from`. */
  readonly step: (from: State) => { readonly to: State } | undefined;
}

/**
 * Whether the register could have run the operations one at a time, each at a moment between its start and its end
 * (Herlihy and Wing, 1990). The search is that of Wing and Gong (1993) with the memory of Lowe (2017): it visits no set
 * of operations twice with the same state.
 */
export function isLinearizable<State extends string | undefined>(
  history: readonly Observed<State>[],
  initial: State,
): boolean {
  const operations = history.map((operation, index) => ({ ...operation, bit: 1n << BigInt(index) }));
  const certain = operations.reduce((set, { end, bit }) => (end === Number.POSITIVE_INFINITY ? set : set | bit), 0n);
  const visited = new Set<string>();

  function search(done: bigint, state: State): boolean {
    if ((done & certain) === certain) return true;
    const visit = `${done} ${state}`;
    if (visited.has(visit)) return false;
    visited.add(visit);
    const left = operations.filter(({ bit }) => (done & bit) === 0n);
    const firstEnd = left.reduce((least, { end }) => Math.min(least, end), Number.POSITIVE_INFINITY);
    // No operation can run before one that had ended when it started.
    const possible = left.filter(({ start }) => start < firstEnd);
    // One that changes nothing runs as soon as it can: it hinders no other.
    const neutral = possible.find(({ changes, step }) => !changes && step(state));
    if (neutral) return search(done | neutral.bit, state);
    return possible.some(({ step, bit }) => {
      const next = step(state);
      return next !== undefined && search(done | bit, next.to);
    });
  }
  return search(0n, initial);
}

/** The history as text: one line for each operation, in the order of their starts. */
export function draw(history: readonly Pick<Observed<string>, "what" | "start" | "end">[]): string {
  const lines = history.toSorted((a, b) => a.start - b.start).map(({ what, start, end }) => `${start}..${end} ${what}`);
  return lines.join("\n");
}
