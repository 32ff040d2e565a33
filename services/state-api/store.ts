import type { Trace } from "../runtime/trace.ts";

/** The port between the HTTP routes and the state store. */
export interface StateStore {
  /** The entry, or undefined when the key is missing. */
  get(key: string, call: Call): Promise<Entry | undefined>;
  /** The entries in the order of `keys`, undefined where a key is missing. */
  getMany(keys: readonly string[], call: Call): Promise<(Entry | undefined)[]>;
  save(write: Write, call: Call): Promise<void>;
  /** Deleting a missing key succeeds, unless `condition` requires an entry. */
  delete(removal: Removal, call: Call): Promise<void>;
  /** Applies all operations or none. All keys must name the same partition, see `partitionOf`. */
  transaction(operations: readonly Operation[], call: Call): Promise<void>;
}

/** A store that `coalesce` can wrap. */
export interface BatchableStore extends StateStore {
  /** Saves all entries or none. Their keys differ; they have no conditions. */
  saveMany(writes: readonly Write[], call: Call): Promise<void>;
  /**
   * True if `saveMany` can be used and `getMany` costs less than a `get` for each key; false while that is unknown.
   * Never rejects.
   */
  batches(call: Call): Promise<boolean>;
}

/** The caller's side of a request to the store. */
export interface Call {
  /** Why the caller no longer waits; undefined while it does. Work that has not begun by then does not begin. */
  ended: Error | undefined;
  /** The trace to send with a request. Called once for each request that leaves, which may serve many callers. */
  readonly trace: () => Trace;
}

export interface Entry {
  /** Any JSON value; `null`, `""`, `0` and `false` are values. */
  readonly value: unknown;
  /** Opaque, and safe inside the quotes of an HTTP ETag. */
  readonly etag: string;
}

/** The entry exists and has one of these ETags (`*`: any). */
export interface IfMatch {
  readonly ifMatch: "*" | readonly string[];
}

/** The key is missing. */
interface IfNoneMatch {
  readonly ifNoneMatch: "*";
}

export type Condition = IfMatch | IfNoneMatch;

export interface Write {
  readonly key: string;
  readonly value: unknown;
  /** About the size of the value as JSON. */
  readonly bytes?: number;
  readonly ttlInSeconds?: number | undefined;
  readonly consistency?: "strong" | "eventual" | undefined;
  readonly condition?: Condition | undefined;
}

export interface Removal {
  readonly key: string;
  readonly condition?: Condition | undefined;
}

export type Operation =
  | { readonly operation: "upsert"; readonly key: string; readonly data: unknown; readonly ttlInSeconds?: number }
  | { readonly operation: "delete"; readonly key: string };

type StoreErrorKind =
  /** The condition does not hold. Nothing was changed. */
  | "conflict"
  /** The sidecar or the store is unreachable, not ready or too slow. A retry may succeed; a write may have happened. */
  | "unavailable"
  /** Too many requests are waiting, or their bodies are too large together. A retry may succeed. */
  | "overloaded"
  /** The entries are larger than one answer may be. */
  | "too-large"
  /** The store rejected the request. A retry would also fail. */
  | "refused";

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/**
 * The partition that a key names: the text before its first `~`, undefined without one. A transaction needs keys that
 * name the same partition. A key that names none gets a Cosmos DB partition of its own, which is Dapr's default and
 * spreads load and storage evenly.
 */
export function partitionOf(key: string): string | undefined {
  const end = key.indexOf("~");
  return end > 0 ? key.slice(0, end) : undefined;
}
