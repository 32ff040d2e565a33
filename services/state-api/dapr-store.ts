import { createSidecarClient, SidecarError, type SidecarRequest, type SidecarResponse } from "../dapr/client.ts";
import { fromStored, toStored } from "./exact-numbers.ts";
import { createSdkTransport, type SdkCall } from "./sdk-transport.ts";
import {
  type BatchableStore,
  type Call,
  type Condition,
  type Entry,
  partitionOf,
  StoreError,
  type Write,
} from "./store.ts";
import { storeFailure, summarize } from "./store-failure.ts";

interface DaprStoreOptions {
  /** Origin of the sidecar's HTTP API. */
  readonly origin: string;
  readonly storeName: string;
  /** How long a request waits for the store, in milliseconds. */
  readonly requestTimeoutMs: number;
  readonly apiToken?: string;
  /** Called after every call to the sidecar. */
  readonly observe?: (operation: string, outcome: "ok" | StoreError["kind"], seconds: number) => void;
}

export interface DaprStore extends BatchableStore {
  /** Resolves when the sidecar and its components are ready; rejects within a second when they are not. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

const READY_TIMEOUT_MS = 1_000;
/**
 * How much longer a sidecar call may take than the requests it serves, in milliseconds. The requests that share a call arrived before it left, so
 * their own timeouts always come first, with one message; this one only frees the connection.
 */
const TIMEOUT_MARGIN_MS = 100;

/**
 * The state store behind a Dapr sidecar, through the state API of @dapr/dapr (3.18.0). Its traps, and where this file
 * avoids them:
 * - `save` and `delete` resolve `{ error }` instead of rejecting: `throwError`.
 * - `save` modifies its argument: every call passes new objects.
 * - `get` and `delete` put the key into the path unencoded: this file encodes it first.
 * - `get` resolves "" for a missing key, and drops the ETag: `response` has the status and the headers.
 * - `getBulk` reports an error of one key inside a 200: `entryOf`.
 */
export function createDaprStore(options: DaprStoreOptions): DaprStore {
  const { origin, storeName, requestTimeoutMs, apiToken, observe } = options;
  const sidecar = createSidecarClient({ origin, timeoutMs: requestTimeoutMs + TIMEOUT_MARGIN_MS, apiToken });
  const createSdkCall = createSdkTransport(send);
  let cheapBulkReads: Promise<boolean> | undefined;

  /** @throws {StoreError} `unavailable` when there is no response */
  async function reach(path: string, request: SidecarRequest): Promise<SidecarResponse> {
    try {
      return await sidecar.request(path, request);
    } catch (error) {
      if (!(error instanceof SidecarError)) throw error;
      const advice = error.kind === "unreachable" ? '; "npm start" or "dapr run -f ." starts one' : "";
      throw new StoreError("unavailable", error.message + advice, { cause: error });
    }
  }

  /** @throws {StoreError} when there is no response, or when it is an error */
  async function send(path: string, request: SidecarRequest): Promise<SidecarResponse> {
    const response = await reach(path, request);
    if (response.statusCode >= 400) throw storeFailure(response, storeName);
    return response;
  }

  /** Makes one call to the sidecar, measured and in the caller's trace. */
  async function request<T>(operation: string, call: Call, work: (sdkCall: SdkCall) => Promise<T>): Promise<T> {
    if (call.ended) throw call.ended;
    const sdkCall = await createSdkCall(call.trace());
    const started = performance.now();
    let outcome: "ok" | StoreError["kind"] = "ok";
    try {
      return await work(sdkCall);
    } catch (error) {
      outcome = error instanceof StoreError ? error.kind : "refused";
      if (outcome === "unavailable") cheapBulkReads = undefined; // the sidecar may return with another component
      throw error;
    } finally {
      observe?.(operation, outcome, (performance.now() - started) / 1000);
    }
  }

  function get(key: string, call: Call): Promise<Entry | undefined> {
    return request("get", call, async (sdkCall) => {
      const value = await sdkCall.state.get(storeName, encodeURIComponent(key), { metadata: partitionMetadata(key) });
      return sdkCall.response?.statusCode === 204
        ? undefined
        : { value: fromStored(value), etag: safeEtag(sdkCall.response?.headers.etag) };
    });
  }

  async function getMany(keys: readonly string[], call: Call): Promise<(Entry | undefined)[]> {
    // Dapr looks for several keys in all partitions of Cosmos DB, but for a single one only in the partition of the request.
    if (keys.length === 1) return Promise.all(keys.map((key) => get(key, call)));
    const parallelism = keys.length; // the SDK's default is a function that it forgets to call
    const items = await request("get", call, ({ state }) => state.getBulk(storeName, [...keys], { parallelism }));
    const entries = new Map(items.map((item) => [item.key, entryOf(item)]));
    return keys.map((key) => entries.get(key));
  }

  async function saveMany(writes: readonly Write[], call: Call): Promise<void> {
    await request("save", call, ({ state, sdk }) => {
      const concurrency = sdk.StateConcurrencyEnum.CONCURRENCY_LAST_WRITE;
      const items = writes.map((write) => ({
        ...itemOf(write),
        options: { concurrency, consistency: consistencyOf(write, sdk) },
      }));
      return state.save(storeName, items).then(throwError);
    });
  }

  async function save(write: Write, call: Call): Promise<void> {
    if (!write.condition) return saveMany([write], call);
    const etag = await etagFor(write.key, write.condition, call);
    await request("save", call, ({ state, sdk }) => {
      // First-write without an ETag saves only where there is no entry.
      const concurrency = sdk.StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE;
      const item = { ...itemOf(write), ...etag, options: { concurrency, consistency: consistencyOf(write, sdk) } };
      return state.save(storeName, [item]).then(throwError);
    });
  }

  /**
   * The ETag with which the store applies a change only if `condition` holds. Every condition needs a read first, even a
   * single ETag. The sidecar's circuit breaker counts an ETag mismatch as a failure, so a few callers with stale ETags
   * would cut off all others. And Cosmos DB ignores an ETag where there is no document.
   */
  async function etagFor(key: string, condition: Condition, call: Call): Promise<{ etag?: string }> {
    const entry = await get(key, call);
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

  /** Cosmos DB serves a bulk read by a query over all partitions, which costs more than a point read for each key. */
  async function lookUpBulkReads(call: Call): Promise<boolean> {
    const path = "/v1.0/metadata";
    const { text } = await request("metadata", call, () => send(path, { trace: call.trace() }));
    const { components = [] }: { components?: { name: string; type: string }[] } = JSON.parse(text);
    const component = components.find(({ name }) => name === storeName);
    return component !== undefined && component.type !== "state.azure.cosmosdb";
  }

  return {
    get,
    getMany,
    save,
    saveMany,
    async delete({ key, condition }, call) {
      const etag = condition ? await etagFor(key, condition, call) : {};
      const options = { ...etag, metadata: partitionMetadata(key) };
      await request("delete", call, ({ state }) =>
        state.delete(storeName, encodeURIComponent(key), options).then(throwError),
      );
    },
    async transaction(operations, call) {
      // In a Cosmos DB batch, deleting a missing key fails the whole batch; in SQLite it does not. So omit missing keys.
      const deletes = operations.filter(({ operation }) => operation === "delete").map(({ key }) => key);
      const entries = deletes.length > 0 ? await getMany(deletes, call) : [];
      const missing = new Set(deletes.filter((_, index) => !entries[index]));
      const requests = operations
        .filter(({ key }) => !missing.has(key))
        .map((item) =>
          item.operation === "delete"
            ? { operation: "delete", request: { key: item.key } }
            : { operation: "upsert", request: itemOf({ ...item, value: item.data }) },
        );
      const [first] = requests;
      if (!first) return;
      // Set the partition of the whole request: Dapr ignores the one of a single upsert in a transaction.
      const metadata = partitionMetadata(first.request.key);
      await request("transaction", call, ({ state }) => state.transaction(storeName, requests, metadata));
    },
    bulkReadsAreCheap(call) {
      cheapBulkReads ??= lookUpBulkReads(call).catch((error) => {
        // The sidecar's Configuration may exclude the metadata API: do not retry. After any other error, retry.
        if (!(error instanceof StoreError && error.kind === "refused")) cheapBulkReads = undefined;
        return false; // single reads work with every component, and report the fault if there is one
      });
      return cheapBulkReads;
    },
    async ready() {
      const loaded = createSdkCall(undefined);
      const { statusCode } = await reach("/v1.0/healthz/outbound", { timeoutMs: READY_TIMEOUT_MS });
      if (statusCode !== 204) throw new StoreError("unavailable", `the Dapr sidecar at ${origin} is not ready yet`);
      await loaded;
    },
    close: sidecar.close,
  };
}

function itemOf({ key, value, ttlInSeconds }: Write) {
  const ttl = ttlInSeconds === undefined ? {} : { ttlInSeconds: String(ttlInSeconds) };
  return { key, value: toStored(value), metadata: { ...partitionMetadata(key), ...ttl } };
}

/** Without `partitionKey`, Dapr writes the key to a partition of its own: https://docs.dapr.io/reference/components-reference/supported-state-stores/setup-azure-cosmosdb/ */
function partitionMetadata(key: string): { partitionKey?: string } {
  const partition = partitionOf(key);
  return partition === undefined ? {} : { partitionKey: partition };
}

function consistencyOf({ consistency }: Write, { StateConsistencyEnum }: SdkCall["sdk"]) {
  switch (consistency) {
    case "strong":
      return StateConsistencyEnum.CONSISTENCY_STRONG;
    case "eventual":
      return StateConsistencyEnum.CONSISTENCY_EVENTUAL;
    default:
      return StateConsistencyEnum.CONSISTENCY_UNSPECIFIED;
  }
}

/** @throws {StoreError} when the store failed for this key alone */
function entryOf(item: { [key: string]: unknown }): Entry | undefined {
  if (typeof item.error === "string") throw new StoreError("refused", summarize(item.error));
  if (!("data" in item)) return undefined;
  return { value: fromStored(item.data), etag: safeEtag(item.etag) };
}

/** Cosmos DB's ETags contain quotes, which an HTTP ETag cannot. */
function safeEtag(etag: unknown): string {
  return encodeURIComponent(String(etag));
}

function throwError({ error }: { error?: Error }): void {
  if (error) throw error;
}
