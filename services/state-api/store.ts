/** The port between the HTTP service and whatever keeps its state. Adapters and wrappers implement it. */
export interface StateStore {
  /** The entry, or undefined when there is none. */
  get(key: string, call: Call): Promise<Entry | undefined>;
  /** Entries in the order of `keys`, undefined where there is none. */
  getMany(keys: readonly string[], call: Call): Promise<(Entry | undefined)[]>;
  save(write: Write, call: Call): Promise<void>;
  /** Unconditional writes to different keys; when it fails, some of them may have been written. */
  saveMany(writes: readonly Write[], call: Call): Promise<void>;
  /** Succeeds also when there is nothing to delete, unless `condition` asks for something. */
  delete(removal: Removal, call: Call): Promise<void>;
  /** All or nothing. Every key must belong to the same partition, see `partitionOf`. */
  transaction(operations: readonly Operation[], call: Call): Promise<void>;
  /** What the sidecar says is behind the store's name; `UNKNOWN_COMPONENT` when it does not say. */
  component(call: Call): Promise<Component>;
}

/** What one caller's request brings along. */
export interface Call {
  /** Why the caller no longer waits, once that is so. Work that has not begun by then is not begun. */
  ended: Error | undefined;
  /** W3C trace context for the store; made when a call leaves, which one does for many requests. */
  readonly traceparent: () => string;
}

export interface Entry {
  /** Any JSON value; `null`, `""`, `0` and `false` are values like others. */
  readonly value: unknown;
  /** Opaque, safe inside the quotes of an HTTP ETag. */
  readonly etag: string;
}

export type Condition =
  /** The entry exists and has one of these ETags (`*`: any). */
  | { readonly ifMatch: "*" | readonly string[] }
  /** There is no entry yet. */
  | { readonly ifNoneMatch: "*" };

export interface Write {
  readonly key: string;
  readonly value: unknown;
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

export interface Component {
  /** e.g. `state.sqlite` */
  readonly type: string;
  readonly version: string;
}

export const UNKNOWN_COMPONENT: Component = { type: "unknown", version: "" };

type StoreErrorKind =
  /** A condition did not hold; nothing was changed. */
  | "conflict"
  /** Nobody answered, or not yet, or not in time: try again. A write may or may not have happened. */
  | "unavailable"
  /** More is waiting already than the service keeps: try again. Nothing was changed. */
  | "overloaded"
  /** The store said no. */
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
 * The Cosmos DB logical partition of a key: what stands before the first `~`, else one that such keys share.
 * A transaction lives inside one partition, so this decides which keys can be written together; Dapr's own default, a
 * partition for each key, would allow none.
 */
export function partitionOf(key: string): string {
  const end = key.indexOf("~");
  return end > 0 ? key.slice(0, end) : "shared";
}
