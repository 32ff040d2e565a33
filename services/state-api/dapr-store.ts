import { createBulkReadCost } from "./bulk-read-cost.ts";
import { createDaprCalls, type DaprCallsOptions } from "./dapr-calls.ts";
import { consistencyOf, entryOf, itemOf, partitionMetadata, toEntry } from "./dapr-items.ts";
import {
  type BatchableStore,
  type Call,
  type Condition,
  type Entry,
  type Operation,
  StoreError,
  type Write,
} from "./store.ts";

export interface DaprStore extends BatchableStore {
  /** Resolves when the sidecar and its components are ready; rejects within a second when they are not. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The state store behind a Dapr sidecar, through the state API of @dapr/dapr (3.18.0). Its traps, and what avoids them:
 * - `save` and `delete` resolve `{ error }` instead of rejecting: `throwError`.
 * - `save` modifies its argument: every call passes new objects.
 * - `get` and `delete` put the key into the path unencoded: this file encodes it first.
 * - `get` resolves "" for a missing key, and drops the ETag: `response` has the status and the headers.
 * - `getBulk` reports an error of one key inside a 200: `entryOf` in dapr-items.ts.
 */
export function createDaprStore(options: DaprCallsOptions): DaprStore {
  const { storeName, observe } = options;
  const calls = createDaprCalls({
    ...options,
    observe: (operation, outcome, seconds) => {
      if (outcome === "unavailable") bulkReadCost.forget(); // the sidecar may return with another component
      observe?.(operation, outcome, seconds);
    },
  });
  const bulkReadCost = createBulkReadCost(storeName, calls.readMetadata);

  function get(key: string, call: Call): Promise<Entry | undefined> {
    return calls.call("get", call, async (sdkCall) => {
      const value = await sdkCall.state.get(storeName, encodeURIComponent(key), { metadata: partitionMetadata(key) });
      const { response } = sdkCall;
      return response?.statusCode === 204 ? undefined : toEntry(value, response?.headers.etag);
    });
  }

  async function getMany(keys: readonly string[], call: Call): Promise<(Entry | undefined)[]> {
    // Dapr looks for several keys in all partitions of Cosmos DB, but for a single one only in the partition of the
    // request.
    if (keys.length === 1) return Promise.all(keys.map((key) => get(key, call)));
    const parallelism = keys.length; // the SDK's default is a function that it forgets to call
    const items = await calls.call("get", call, ({ state }) => state.getBulk(storeName, [...keys], { parallelism }));
    // Dapr's bulk response is empty if a value is not JSON, such as text that another application wrote. Single reads
    // return that value.
    if (!Array.isArray(items)) return Promise.all(keys.map((key) => get(key, call)));
    const entries = new Map(items.map((item) => [item.key, entryOf(item)]));
    return keys.map((key) => entries.get(key));
  }

  async function saveMany(writes: readonly Write[], call: Call): Promise<void> {
    await calls.call("save", call, ({ state, sdk }) => {
      const concurrency = sdk.StateConcurrencyEnum.CONCURRENCY_LAST_WRITE;
      const items = writes.map((write) => ({
        ...itemOf(write),
        options: { concurrency, consistency: consistencyOf(write, sdk) },
      }));
      return state.save(storeName, items).then(throwError);
    });
  }

  /**
   * The ETag to send with a conditional change. Every condition needs a read first, even a single ETag. The sidecar's
   * circuit breaker counts an ETag mismatch as a failure, so a few callers with stale ETags would cut off all others.
   * And Cosmos DB ignores an ETag where there is no document.
   */
  async function etagFor(key: string, condition: Condition, call: Call): Promise<{ etag?: string }> {
    return etagIfMet(condition, key, await get(key, call));
  }

  return {
    get,
    getMany,
    saveMany,
    async save(write, call) {
      if (!write.condition) return saveMany([write], call);
      const etag = await etagFor(write.key, write.condition, call);
      await calls.call("save", call, ({ state, sdk }) => {
        // First-write without an ETag saves only where there is no entry.
        const concurrency = sdk.StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE;
        const item = { ...itemOf(write), ...etag, options: { concurrency, consistency: consistencyOf(write, sdk) } };
        return state.save(storeName, [item]).then(throwError);
      });
    },
    async delete({ key, condition }, call) {
      const etag = condition ? await etagFor(key, condition, call) : {};
      const options = { ...etag, metadata: partitionMetadata(key) };
      await calls.call("delete", call, ({ state }) =>
        state.delete(storeName, encodeURIComponent(key), options).then(throwError),
      );
    },
    async transaction(operations, call) {
      // In a Cosmos DB batch, deleting a missing key fails the whole batch; in SQLite it does not. So omit missing
      // keys.
      const deletes = operations.filter(({ operation }) => operation === "delete").map(({ key }) => key);
      const entries = deletes.length > 0 ? await getMany(deletes, call) : [];
      const missing = new Set(deletes.filter((_, index) => !entries[index]));
      const requests = operations.filter(({ key }) => !missing.has(key)).map(requestOf);
      const [first] = requests;
      if (!first) return;
      // Set the partition of the whole request: Dapr ignores the one of a single upsert in a transaction.
      const metadata = partitionMetadata(first.request.key);
      await calls.call("transaction", call, ({ state }) => state.transaction(storeName, requests, metadata));
    },
    bulkReadsAreCheap: bulkReadCost.isLow,
    ready: calls.ready,
    close: calls.close,
  };
}

/**
 * The ETag with which the store applies a change only while `condition` still holds; `{}` where there is no entry.
 * @throws {StoreError} `conflict` when `entry` does not meet the condition
 */
function etagIfMet(condition: Condition, key: string, entry: Entry | undefined): { etag?: string } {
  if ("ifNoneMatch" in condition) {
    if (entry) throw new StoreError("conflict", `key "${key}" already has an entry`);
    return {};
  }
  if (!entry) throw new StoreError("conflict", `key "${key}" has no entry`);
  if (condition.ifMatch !== "*" && !condition.ifMatch.includes(entry.etag)) {
    throw new StoreError("conflict", `the ETag of key "${key}" does not match`);
  }
  return { etag: decodeURIComponent(entry.etag) };
}

/** One operation of a transaction, as Dapr expects it. */
function requestOf(item: Operation) {
  return item.operation === "delete"
    ? { operation: "delete", request: { key: item.key } }
    : { operation: "upsert", request: itemOf({ ...item, value: item.data }) };
}

function throwError({ error }: { error?: Error }): void {
  if (error) throw error;
}
