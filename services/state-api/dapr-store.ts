import { randomUUID } from "node:crypto";
import { type Component, createComponentLookup } from "./component.ts";
import { createDaprCalls, type DaprCallsOptions } from "./dapr-calls.ts";
import { consistencyOf, entryOf, itemOf, partitionMetadata, toEntry } from "./dapr-items.ts";
import type { SdkCall } from "./sdk-transport.ts";
import {
  type BatchableStore,
  type Call,
  type Entry,
  type IfMatch,
  type Operation,
  partitionOf,
  StoreError,
  type Write,
} from "./store.ts";

/**
 * How long Cosmos DB may take for a write. The Go SDK in Dapr's component repeats a failed request after 640 ms at the
 * earliest (azcore, runtime/policy_retry.go: 800 ms × 0.8). The failed one may have taken effect, and a repeated
 * write would undo what others wrote in between, or fail on its own ETag: a conflict that is none. So the call ends
 * first, which ends the sidecar's request, too. Requests that Cosmos DB throttles had no effect; the SDK repeats them
 * sooner.
 */
const COSMOS_DB_WRITE_TIMEOUT_MS = 500;

/** How the error of Dapr's component ends when the first delete of a batch, one without an ETag, finds no document. */
const MISSING_DOCUMENT = /\btransaction failed$/;

type Concurrency = "LAST_WRITE" | "FIRST_WRITE";
type DaprOperation = NonNullable<Parameters<SdkCall["state"]["transaction"]>[1]>[number];

export interface DaprStoreOptions extends Omit<DaprCallsOptions, "onDisconnect"> {
  /** Only tests that assert nothing about it set another one: a write that takes longer may be repeated. */
  readonly cosmosDbWriteTimeoutMs?: number;
}

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
export function createDaprStore(options: DaprStoreOptions): DaprStore {
  const { storeName, cosmosDbWriteTimeoutMs = COSMOS_DB_WRITE_TIMEOUT_MS } = options;
  const calls = createDaprCalls({
    ...options,
    // The sidecar may return with another component, or another configuration of it.
    onDisconnect: () => component.forget(),
  });
  const component = createComponentLookup(storeName, calls.readMetadata);
  /** Whether a component has Dapr's default prefix and no `keyPrefix`, once that is known. */
  const defaultPrefix = new WeakMap<Component, boolean>();

  async function callToWrite(operation: string, call: Call, work: (sdkCall: SdkCall) => Promise<void>): Promise<void> {
    const { isCosmosDb } = await component.find(call);
    try {
      await calls.call(operation, call, work, isCosmosDb ? cosmosDbWriteTimeoutMs : undefined);
    } catch (error) {
      // The response was not read, for lack of memory or because it is too large. The write may have succeeded.
      const isUnread = error instanceof StoreError && (error.kind === "overloaded" || error.kind === "too-large");
      throw isUnread ? new StoreError("unavailable", error.message, { cause: error }) : error;
    }
  }

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

  /** Dapr's bulk save is not atomic: when it fails, nobody knows which items were saved. A transaction is. */
  async function saveMany(writes: readonly Write[], call: Call): Promise<void> {
    await callToWrite("save", call, ({ state, sdk }) =>
      state.transaction(
        storeName,
        writes.map((write) => upsertOf(write, sdk)),
      ),
    );
  }

  /** @param etag if the entry must have it, as the store returned it */
  async function saveOne(write: Write, call: Call, concurrency: Concurrency, etag?: string): Promise<void> {
    await callToWrite("save", call, ({ state, sdk }) => {
      const options = optionsOf(write, concurrency, sdk);
      return state
        .save(storeName, [{ ...itemOf(write), ...(etag !== undefined && { etag }), options }])
        .then(throwError);
    });
  }

  /** @param etag if the entry must have it, as the store returned it */
  async function deleteOne(key: string, call: Call, etag?: string): Promise<void> {
    const options = { etag, metadata: partitionMetadata(key) };
    await callToWrite("delete", call, ({ state }) =>
      state.delete(storeName, encodeURIComponent(key), options).then(throwError),
    );
  }

  /** Puts `write` in the place of the entry that was just read, or nothing, while it still has its ETag. */
  async function changeEntry(key: string, entry: Entry, write: Write | undefined, call: Call): Promise<void> {
    const found = await component.find(call);
    const { isCosmosDb, appId, failure } = found;
    if (failure) throw failure; // alone, the change could bring back an entry on Cosmos DB
    if (!isCosmosDb || appId === undefined) return changeAlone(key, entry, write, call);
    const named = partitionOf(key);
    if (named !== undefined) return changeInTransaction(key, entry, write, named, call);
    if (defaultPrefix.get(found) === false) return changeAlone(key, entry, write, call);
    try {
      await changeInTransaction(key, entry, write, `${appId}||${key}`, call);
      defaultPrefix.set(found, true);
    } catch (error) {
      const isConflict = error instanceof StoreError && error.kind === "conflict";
      if (!isConflict || defaultPrefix.get(found)) throw error;
      // A component with a `keyPrefix` stores the key in a partition that Dapr does not tell, so the transaction found
      // no document.
      defaultPrefix.set(found, await hasDefaultPrefix(appId, call));
      if (defaultPrefix.get(found)) throw error;
      await changeAlone(key, entry, write, call);
    }
  }

  /**
   * Saves a document and deletes it in the partition that Dapr's default prefix names. A read would not tell where the
   * document is: a replica may lag behind.
   */
  async function hasDefaultPrefix(appId: string, call: Call): Promise<boolean> {
    const key = `state-api.prefix.${randomUUID()}`;
    await saveOne({ key, value: null, ttlInSeconds: 60 }, call, "LAST_WRITE");
    // Where the document is missing, Dapr ignores a delete that fails alone, but not one that other operations follow.
    const requests = [{ operation: "delete", request: { key } }, ...deletionOf(key)];
    try {
      const metadata = { partitionKey: `${appId}||${key}` };
      await callToWrite("delete", call, ({ state }) => state.transaction(storeName, requests, metadata));
      return true;
    } catch (error) {
      if (!(error instanceof StoreError && MISSING_DOCUMENT.test(error.message))) throw error;
      await deleteOne(key, call);
      return false;
    }
  }

  async function changeAlone(key: string, entry: Entry, write: Write | undefined, call: Call): Promise<void> {
    const etag = decodeURIComponent(entry.etag);
    await (write ? saveOne(write, call, "LAST_WRITE", etag) : deleteOne(key, call, etag));
  }

  /**
   * The component's save and delete with an ETag fall short on Cosmos DB when another instance has just deleted the
   * document: the save creates it again, and the delete succeeds. In a transaction, a delete with an ETag fails then.
   */
  async function changeInTransaction(
    key: string,
    { etag }: Entry,
    write: Write | undefined,
    partitionKey: string,
    call: Call,
  ): Promise<void> {
    await callToWrite(write ? "save" : "delete", call, ({ state, sdk }) => {
      // The SDK declares `etag` as an object and sends it as it is; Dapr expects a string.
      const removal = { operation: "delete", request: { key, etag: decodeURIComponent(etag) as never } };
      return state.transaction(storeName, write ? [removal, upsertOf(write, sdk)] : [removal], { partitionKey });
    });
  }

  /**
   * Changes the entry if it meets the condition. Even a single ETag needs a read first: the sidecar's circuit breaker
   * counts an ETag mismatch as a failure, and after 100 in a row it would reject all callers for two seconds.
   * @throws {StoreError} `conflict` when the entry does not meet the condition
   */
  async function changeIfMet(key: string, { ifMatch }: IfMatch, write: Write | undefined, call: Call): Promise<void> {
    for (;;) {
      const entry = await get(key, call);
      if (!entry) throw new StoreError("conflict", `key "${key}" has no entry`);
      if (ifMatch !== "*" && !ifMatch.includes(entry.etag)) {
        throw new StoreError("conflict", `the ETag of key "${key}" does not match`);
      }
      try {
        return await changeEntry(key, entry, write, call);
      } catch (error) {
        // With `*`, an entry that another instance has just replaced is as good. Nothing was changed, so try again.
        const isConflict = error instanceof StoreError && error.kind === "conflict";
        if (ifMatch !== "*" || !isConflict) throw error;
      }
    }
  }

  /** @throws {StoreError} `conflict` */
  async function throwIfFound(key: string, call: Call): Promise<void> {
    if (await get(key, call)) throw new StoreError("conflict", `key "${key}" already has an entry`);
  }

  return {
    get,
    getMany,
    saveMany,
    async save(write, call) {
      const { key, condition } = write;
      if (!condition) return saveOne(write, call, "LAST_WRITE");
      if ("ifMatch" in condition) return changeIfMet(key, condition, write, call);
      // Without an ETag, first-write saves only where there is no entry.
      await throwIfFound(key, call);
      return saveOne(write, call, "FIRST_WRITE");
    },
    async delete({ key, condition }, call) {
      if (condition && "ifMatch" in condition) return changeIfMet(key, condition, undefined, call);
      if (condition) return throwIfFound(key, call);
      return deleteOne(key, call);
    },
    async transaction(operations, call) {
      const [first] = operations;
      if (!first) return;
      // Set the partition of the whole request: Dapr ignores the one of a single upsert in a transaction.
      const metadata = partitionMetadata(first.key);
      const requests = operations.flatMap(requestsOf);
      await callToWrite("transaction", call, ({ state }) => state.transaction(storeName, requests, metadata));
    },
    batches: async (call) => (await component.find(call)).batches,
    async ready() {
      await calls.ready();
      await component.find(); // so that no request has to wait for it
    },
    close: calls.close,
  };
}

function upsertOf(write: Write, sdk: SdkCall["sdk"]): DaprOperation {
  return { operation: "upsert", request: { ...itemOf(write), options: optionsOf(write, "LAST_WRITE", sdk) } };
}

function optionsOf(write: Write, concurrency: Concurrency, sdk: SdkCall["sdk"]) {
  return {
    concurrency: sdk.StateConcurrencyEnum[`CONCURRENCY_${concurrency}`],
    consistency: consistencyOf(write, sdk),
  };
}

/** One operation of a transaction, as Dapr expects it. */
function requestsOf(item: Operation): DaprOperation[] {
  if (item.operation === "delete") return deletionOf(item.key);
  return [{ operation: "upsert", request: itemOf({ ...item, value: item.data }) }];
}

/**
 * In a Cosmos DB batch, deleting a missing key fails the whole batch. So a delete first writes the key. Omitting keys
 * that a read did not find would not do: another instance may create one before the batch runs.
 */
function deletionOf(key: string): DaprOperation[] {
  return [
    { operation: "upsert", request: { key, value: null } },
    { operation: "delete", request: { key } },
  ];
}

function throwError({ error }: { error?: Error }): void {
  if (error) throw error;
}
