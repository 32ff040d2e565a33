import { AsyncLocalStorage } from "node:async_hooks";
import type { DaprClient } from "@dapr/dapr";
import { createSidecarClient, SidecarError, type SidecarRequest } from "../dapr/client.ts";
import { fromStored, toStored } from "./exact-numbers.ts";
import {
  type Call,
  type Component,
  type Condition,
  type Entry,
  partitionOf,
  type StateStore,
  StoreError,
  UNKNOWN_COMPONENT,
  type Write,
} from "./store.ts";

interface DaprStoreOptions {
  /** Origin of the sidecar's HTTP API. */
  readonly origin: string;
  readonly storeName: string;
  /** Longest wait for one answer of the sidecar, in milliseconds. */
  readonly timeoutMs: number;
  readonly apiToken?: string;
  /** Told of every call to the sidecar. */
  readonly observe?: (operation: string, outcome: "ok" | StoreError["kind"], seconds: number) => void;
}

export interface DaprStore extends StateStore {
  /** Resolves when the sidecar answers and its components are up; rejects within a second when not. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The state store behind a Dapr sidecar, through @dapr/dapr.
 *
 * The SDK forms the requests; undici carries them, because the SDK's own transport has no time-out, waits 30 s for an
 * absent sidecar, cannot pass a traceparent and costs several times the CPU. What else it gets wrong, and where that is
 * mended:
 * - `save` and `delete` resolve `{ error }` instead of rejecting: `unlessFailed`
 * - `save` mutates what it is given: it gets objects made for it
 * - keys go unencoded into the path of `delete` and `get`: encoded here, and `get` is not used
 * - `get` answers "" for an absent key as for a stored "": `getBulk` tells them apart and has the ETags
 * - `getBulk` fails item by item inside a 200: `entryOf`
 */
export function createDaprStore({ origin, storeName, timeoutMs, apiToken, observe }: DaprStoreOptions): DaprStore {
  const exchanges = new AsyncLocalStorage<Exchange>();
  const sidecar = createSidecarClient({ origin, timeoutMs, apiToken });
  let connected: Promise<Client> | undefined;

  /** On first use, because loading the SDK takes longer than all else that the service does before it listens. */
  async function connect(): Promise<Client> {
    const sdk = await import("@dapr/dapr");
    const { hostname, port, protocol } = new URL(origin);
    const dapr = new sdk.DaprClient({
      daprHost: `${protocol}//${hostname}`,
      daprPort: port || (protocol === "https:" ? "443" : "80"),
      communicationProtocol: sdk.CommunicationProtocolEnum.HTTP,
      logger: { service: { error() {}, warn() {}, info() {}, verbose() {}, debug() {} } }, // what fails is thrown
    });
    if (!(dapr.daprClient instanceof sdk.HTTPClient)) throw new Error("@dapr/dapr did not make an HTTPClient");
    dapr.daprClient.execute = async (path, params) => {
      const exchange = exchanges.getStore();
      const { statusCode, headers, text } = await send(`/v1.0${path}`, {
        method: params?.method === "DELETE" ? "DELETE" : params?.body ? "POST" : "GET",
        ...(params?.headers ? { headers: params.headers } : {}),
        body: params?.body ? JSON.stringify(params.body) : undefined,
        traceparent: exchange?.traceparent,
      });
      if (statusCode >= 400) throw refusal(statusCode, text, storeName);
      if (exchange) Object.assign(exchange, { statusCode, etag: headers.etag });
      return parseJson(text);
    };
    return { sdk, dapr };
  }

  function client() {
    connected ??= connect();
    return connected;
  }

  let component: Promise<Component> | undefined;

  /** One call to the sidecar: carries the trace, is counted and timed. */
  async function ask<T>(
    operation: string,
    call: Call,
    request: (client: Client, exchange: Exchange) => Promise<T>,
  ): Promise<T> {
    if (call.ended) throw call.ended;
    const ready = await client();
    const started = performance.now();
    let outcome: "ok" | StoreError["kind"] = "ok";
    try {
      const exchange = { traceparent: call.traceparent() };
      return await exchanges.run(exchange, request, ready, exchange);
    } catch (error) {
      outcome = error instanceof StoreError ? error.kind : "refused";
      if (outcome === "unavailable") component = undefined; // the sidecar may come back with another
      throw error;
    } finally {
      observe?.(operation, outcome, (performance.now() - started) / 1000);
    }
  }

  async function getMany(keys: readonly string[], call: Call): Promise<(Entry | undefined)[]> {
    // Several keys are looked for in all of Cosmos DB's partitions, but one key alone only in the partition given.
    if (keys.length === 1) return Promise.all(keys.map((key) => get(key, call)));
    const items = await ask("get", call, ({ dapr }) =>
      dapr.state.getBulk(storeName, [...keys], {
        parallelism: keys.length, // the SDK's default is a function it forgets to call
      }),
    );
    const entries = new Map(items.map((item) => [item.key, entryOf(item)]));
    return keys.map((key) => entries.get(key));
  }

  function get(key: string, call: Call): Promise<Entry | undefined> {
    return ask("get", call, async ({ dapr }, exchange) => {
      const metadata = { partitionKey: partitionOf(key) };
      const value = await dapr.state.get(storeName, encodeURIComponent(key), { metadata });
      return exchange.statusCode === 204 ? undefined : { value: fromStored(value), etag: safeEtag(exchange.etag) };
    });
  }

  async function saveMany(writes: readonly Write[], call: Call): Promise<void> {
    await ask("save", call, ({ dapr, sdk }) => {
      const concurrency = sdk.StateConcurrencyEnum.CONCURRENCY_LAST_WRITE;
      const items = writes.map((write) => ({
        ...itemOf(write),
        options: { concurrency, consistency: consistencyOf(write, sdk) },
      }));
      return dapr.state.save(storeName, items).then(unlessFailed);
    });
  }

  /**
   * The ETag to send so that `condition` holds when the store applies the change. Reading first is not only for `*` and
   * lists: a refused ETag counts as a failure for the sidecar's circuit breaker, so that a few callers with stale ETags
   * would cut everybody off; and Cosmos DB ignores an ETag where there is no document.
   */
  async function etagFor(key: string, condition: Condition, call: Call): Promise<{ etag?: string }> {
    const entry = await get(key, call);
    if ("ifNoneMatch" in condition) {
      if (entry) throw new StoreError("conflict", `there is an entry under "${key}" already`);
      return {};
    }
    if (!entry) throw new StoreError("conflict", `there is no entry under "${key}"`);
    if (condition.ifMatch !== "*" && !condition.ifMatch.includes(entry.etag)) {
      throw new StoreError("conflict", `the entry under "${key}" has another ETag`);
    }
    return { etag: decodeURIComponent(entry.etag) };
  }

  async function lookUpComponent(call: Call): Promise<Component> {
    try {
      // The SDK's type does not name the list that the sidecar sends.
      const { components = [] }: { components?: (Component & { name: string })[] } = await ask(
        "metadata",
        call,
        ({ dapr }) => dapr.metadata.get(),
      );
      const found = components.find(({ name }) => name === storeName);
      if (!found) throw new StoreError("unavailable", missingStore(storeName));
      return { type: found.type, version: found.version };
    } catch (error) {
      // A sidecar whose Configuration leaves the metadata API out is no reason to refuse a read.
      if (error instanceof StoreError && error.kind === "refused") return UNKNOWN_COMPONENT;
      throw error;
    }
  }

  return {
    get,
    getMany,
    saveMany,
    async save(write, call) {
      if (!write.condition) return saveMany([write], call);
      const etag = await etagFor(write.key, write.condition, call);
      await ask("save", call, ({ dapr, sdk }) => {
        // First write without an ETag is Dapr's "only if there is none".
        const concurrency = sdk.StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE;
        const item = { ...itemOf(write), ...etag, options: { concurrency, consistency: consistencyOf(write, sdk) } };
        return dapr.state.save(storeName, [item]).then(unlessFailed);
      });
    },
    async delete({ key, condition }, call) {
      const options = {
        ...(condition ? await etagFor(key, condition, call) : {}),
        metadata: { partitionKey: partitionOf(key) },
      };
      await ask("delete", call, ({ dapr }) =>
        dapr.state.delete(storeName, encodeURIComponent(key), options).then(unlessFailed),
      );
    },
    async transaction(operations, call) {
      const first = operations[0];
      if (!first) return;
      // In a Cosmos DB batch, deleting what is not there fails the whole batch; in SQLite it does not. So leave it out.
      const deletes = operations.filter(({ operation }) => operation === "delete").map(({ key }) => key);
      const present = deletes.length > 0 ? await getMany(deletes, call) : [];
      const absent = new Set(deletes.filter((_, index) => !present[index]));
      const requests = operations
        .filter(({ key }) => !absent.has(key))
        .map((item) =>
          item.operation === "delete"
            ? { operation: "delete", request: { key: item.key } }
            : {
                operation: "upsert",
                request: {
                  key: item.key,
                  value: toStored(item.data),
                  metadata: metadataOf(item.key, item.ttlInSeconds),
                },
              },
        );
      // Without it, Dapr puts the items of a transaction into a partition where no plain read looks.
      const metadata = { partitionKey: partitionOf(first.key) };
      if (requests.length === 0) return;
      await ask("transaction", call, ({ dapr }) => dapr.state.transaction(storeName, requests, metadata));
    },
    component(call) {
      component ??= lookUpComponent(call).catch((error) => {
        component = undefined;
        throw error;
      });
      return component;
    },
    async ready() {
      const [{ statusCode }] = await Promise.all([
        send("/v1.0/healthz/outbound", { timeoutMs: READY_TIMEOUT_MS }),
        client(),
      ]);
      if (statusCode !== 204) throw new StoreError("unavailable", `the Dapr sidecar at ${origin} is not ready yet`);
    },
    close: sidecar.close,
  };

  async function send(path: string, request: SidecarRequest) {
    try {
      return await sidecar.request(path, request);
    } catch (error) {
      const message =
        error instanceof SidecarError && error.kind === "timeout"
          ? error.message
          : `no Dapr sidecar answers at ${origin}; "npm start" or "dapr run -f ." starts one`;
      throw new StoreError("unavailable", message, { cause: error });
    }
  }
}

const READY_TIMEOUT_MS = 1_000;

/** What the SDK neither sends nor hands back travels around it. */
interface Exchange {
  readonly traceparent: string;
  statusCode?: number;
  etag?: string | string[] | undefined;
}

/** The SDK and a client of it. */
interface Client {
  readonly sdk: typeof import("@dapr/dapr");
  readonly dapr: DaprClient;
}

function itemOf({ key, value, ttlInSeconds }: Write) {
  return { key, value: toStored(value), metadata: metadataOf(key, ttlInSeconds) };
}

function metadataOf(key: string, ttlInSeconds: number | undefined): Record<string, string> {
  return {
    partitionKey: partitionOf(key),
    ...(ttlInSeconds === undefined ? {} : { ttlInSeconds: String(ttlInSeconds) }),
  };
}

function consistencyOf({ consistency }: Write, { StateConsistencyEnum }: Client["sdk"]) {
  switch (consistency) {
    case "strong":
      return StateConsistencyEnum.CONSISTENCY_STRONG;
    case "eventual":
      return StateConsistencyEnum.CONSISTENCY_EVENTUAL;
    default:
      return StateConsistencyEnum.CONSISTENCY_UNSPECIFIED;
  }
}

/** @throws {StoreError} when the store failed for this key alone, which the sidecar says inside a 200 */
function entryOf(item: { [key: string]: unknown }): Entry | undefined {
  if (typeof item.error === "string") throw new StoreError("refused", causeOf(item.error));
  if (!("data" in item)) return undefined;
  return { value: fromStored(item.data), etag: safeEtag(item.etag) };
}

/** Cosmos DB's ETags contain quotes, which an HTTP ETag cannot. */
function safeEtag(etag: unknown): string {
  return encodeURIComponent(String(etag));
}

/** As the SDK does: what is not JSON, an empty answer or another application's bytes, is text. */
function parseJson(text: string) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function unlessFailed({ error }: { error?: Error }): void {
  if (error) throw error;
}

/** What the sidecar said, as an error a caller can act on; the whole of it is the cause, for the log. */
function refusal(status: number, body: string, storeName: string): StoreError {
  const cause = new Error(`${status} ${body}`);
  const { errorCode = "", message = body } = Object(parseJson(body));
  if (status === 409 || (status === 400 && /etag/i.test(message))) {
    return new StoreError("conflict", "the entry was changed meanwhile", { cause });
  }
  if (errorCode === "ERR_STATE_STORE_NOT_FOUND" || errorCode === "ERR_STATE_STORE_NOT_CONFIGURED") {
    return new StoreError("unavailable", missingStore(storeName), { cause });
  }
  return new StoreError(PASSING.test(message) ? "unavailable" : "refused", causeOf(message), { cause });
}

/** Failures that a retry may well mend: the sidecar's own bounds, and what Azure says of load and time-outs. */
const PASSING = /circuit breaker is open|deadline exceeded|RESPONSE (408|429|449|503)/;

function missingStore(storeName: string): string {
  return `the sidecar has no state store named "${storeName}"; check its component, its scopes and STATESTORE_NAME`;
}

/** One line, without the addresses and headers that Azure's errors drag along. */
function causeOf(message: string): string {
  const azure = /RESPONSE \d{3}: (.*)/.exec(message)?.[1];
  return azure ? `the store answered ${azure}` : message.split("\n", 1).join().slice(0, 300);
}
