// Replicas that lag. Cosmos DB answers a read from any of four replicas; one that has not reached the LSN of the
// request's session token is skipped, so a read without a token may return an older state.
// https://learn.microsoft.com/azure/cosmos-db/consistency-levels#session-consistency
import type { Account } from "./account.ts";

export interface Replicas {
  /** How far the lagging replica is behind, in milliseconds. */
  lagMs: number;
  /** The lagging replica answers the first of so many reads; default 2. */
  everyNth: number;
  /** How many reads returned a state that a write had already changed. */
  readonly lateReads: number;
  /** Call before a write. */
  keep(): void;
  /** Runs one `read` of `everyNth` on the lagging replica, the others on the current one. */
  read<T>(read: () => T): T;
}

export function createReplicas(account: Account): Replicas {
  /** Earlier states, oldest first, with the time at which a write replaced them. */
  let earlier: { readonly until: number; readonly restore: () => void }[] = [];
  let reads = 0;
  let lateReads = 0;

  /** Returns a function that restores the documents of all containers as they are now. */
  function snapshot(): () => void {
    const containers = [...account.databases.values()].flatMap(({ containers }) => [...containers.values()]);
    const restores = containers.map((container) => container.snapshot());
    return () => {
      for (const restore of restores) restore();
    };
  }

  const replicas = {
    lagMs: 0,
    everyNth: 2,
    get lateReads() {
      return lateReads;
    },
    keep() {
      if (replicas.lagMs > 0) earlier.push({ until: performance.now(), restore: snapshot() });
    },
    read<T>(read: () => T): T {
      const time = performance.now() - replicas.lagMs;
      earlier = earlier.filter(({ until }) => until > time);
      const [state] = earlier;
      if (!state || reads++ % replicas.everyNth !== 0) return read();
      lateReads++;
      const restoreCurrent = snapshot();
      state.restore();
      try {
        return read();
      } finally {
        restoreCurrent();
      }
    },
  };
  return replicas;
}
