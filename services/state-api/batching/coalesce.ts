import { type BatchableStore, type Entry, type StateStore, StoreError, type Write } from "../store.ts";
import { createBatcher } from "./batcher.ts";
import { createKeyOrder } from "./key-order.ts";

interface CoalesceOptions {
  /** Maximum number of calls that wait or are at the store. Further calls fail as `overloaded`. */
  readonly maxPending: number;
  /** Called with the number of items of every batch. */
  readonly observe?: (operation: "get" | "save", size: number) => void;
}

/**
 * Wraps a store so that calls which arrive while another is at the store are sent together, as one call. An idle
 * service adds no delay; a busy one pays for a sidecar call once per batch. Callers notice the latency, and that a
 * store which fails for a moment fails all calls of a batch:
 * - Each caller gets the result of its own item. When a batch is rejected, its items are retried singly.
 * - Changes of every kind to a key apply in the order of arrival: the second waits for the first.
 * - Writes with a condition, deletes and transactions are sent singly.
 * - A read that arrives after the acknowledgement of a write is sent after that write.
 * - An item whose caller has left is not put into a batch. A batch is sent as long as one of its callers waits. An item
 *   that was sent is never cancelled.
 * Reads and writes are batched only where the store applies a batch as a whole, and cheaply.
 */
export function coalesce(store: BatchableStore, { maxPending, observe }: CoalesceOptions): StateStore {
  const reads = createBatcher<string, Entry | undefined>({
    keyOf: (key) => key,
    bytesOf: () => 0,
    sendOne: store.get,
    sendMany: store.getMany,
    observe: (size) => observe?.("get", size),
  });
  const writes = createBatcher<Write, void>({
    keyOf: ({ key }) => key,
    bytesOf: ({ bytes = 0 }) => bytes,
    sendOne: store.save,
    sendMany: async (batch, call) => {
      await store.saveMany(batch, call);
      return batch.map(() => undefined);
    },
    observe: (size) => observe?.("save", size),
  });
  const inOrder = createKeyOrder(new Map());
  let pending = 0;

  /** Every call passes through this function, which bounds the memory that waiting calls take. */
  async function admit<T>(work: () => Promise<T>): Promise<T> {
    if (pending >= maxPending) throw new StoreError("overloaded", `${maxPending} requests are already waiting`);
    pending++;
    try {
      return await work();
    } finally {
      pending--;
    }
  }

  return {
    get: (key, call) => admit(async () => ((await store.batches(call)) ? reads.add(key, call) : store.get(key, call))),
    getMany: (keys, call) => admit(() => store.getMany(keys, call)),
    save: (write, call) =>
      admit(() =>
        inOrder([write.key], async () =>
          !write.condition && (await store.batches(call)) ? writes.add(write, call) : store.save(write, call),
        ),
      ),
    delete: (removal, call) => admit(() => inOrder([removal.key], () => store.delete(removal, call))),
    transaction: (operations, call) => {
      const keys = operations.map(({ key }) => key);
      return admit(() => inOrder(keys, () => store.transaction(operations, call)));
    },
  };
}
