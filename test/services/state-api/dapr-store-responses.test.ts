// The adapter against responses that the test chooses; dapr-store.test.ts has a real sidecar.
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { MAX_RESPONSE_BYTES } from "../../../services/dapr/client.ts";
import { BodyMemory } from "../../../services/runtime/body-memory.ts";
import { createDaprStore, type DaprStore } from "../../../services/state-api/dapr-store.ts";
import type { Call } from "../../../services/state-api/store.ts";
import { storeFailure } from "../../../services/state-api/store-failure.ts";
import { connectStore } from "../../support/dapr-store.ts";
import { createCall } from "../../support/memory-store.ts";
import { freePorts } from "../../support/processes.ts";

const call = createCall();
let sidecar: Server;
let origin: string;
let respond: RequestListener;
interface Seen {
  readonly method: string | undefined;
  readonly url: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: unknown;
}
let seen: Seen[] = [];
beforeAll(async () => {
  sidecar = createServer(async (req, res) => {
    let text = "";
    for await (const chunk of req) text += chunk;
    const body = text ? JSON.parse(text) : undefined;
    seen.push({ method: req.method, url: req.url ?? "", headers: req.headers, body });
    respond(req, res);
  }).listen(0, "127.0.0.1");
  await once(sidecar, "listening");
  origin = `http://127.0.0.1:${(sidecar.address() as AddressInfo).port}`;
});
afterEach(() => {
  seen = [];
});
afterAll(() => {
  sidecar.closeAllConnections();
  sidecar.close();
});

/** The text that the component for Cosmos DB returns for a transaction. */
const failedWith = (status: number) => `transaction failed due to operation 1 which failed with status code ${status}`;
const metadataOf = (type: string, more: object = { id: "state-api" }) =>
  JSON.stringify({
    ...more,
    components: [
      { name: "other", type: "state.other" },
      { name: "statestore", type },
    ],
  });

/** Responses that a real sidecar does not send on demand. */
describe("responses of the sidecar", () => {
  const say = (status: number, errorCode: string, message: string) => {
    respond = (_req, res) => res.writeHead(status).end(JSON.stringify({ errorCode, message }));
  };

  test("a bulk read fails when a 200 has an error for one key", async () => {
    respond = (_req, res) =>
      res.end(
        JSON.stringify([
          { key: "k", data: 1, etag: "1" },
          { key: "l", error: "bad row\nx" },
        ]),
      );
    await expect(connectStore(origin).getMany(["k", "l"], call)).rejects.toMatchObject({
      kind: "refused",
      message: "bad row",
    });
  });

  test("a value that is not JSON is read as text", async () => {
    respond = (_req, res) => res.setHeader("ETag", "1").end("plain bytes");
    expect(await connectStore(origin).get("k", call)).toEqual({ value: "plain bytes", etag: "1" });
  });

  test.each([
    [409, "ERR_STATE_SAVE", "possible etag mismatch", "conflict", "another request changed the entry first"],
    [409, "ERR_STATE_SAVE", "no", "conflict", "another request changed the entry first"],
    [400, "ERR_STATE_SAVE", "invalid etag value", "conflict", "another request changed the entry first"],
    [500, "ERR_STATE_SAVE", "failed: circuit breaker is open", "unavailable", "failed: circuit breaker is open"],
    [500, "ERR_STATE_SAVE", "failed: context deadline exceeded", "unavailable", "failed: context deadline exceeded"],
    [
      500,
      "ERR_STATE_SAVE",
      "failed: POST https://a.example\n---\nRESPONSE 429: Too many\n--",
      "unavailable",
      "the store returned Too many",
    ],
    [
      500,
      "ERR_STATE_SAVE",
      "failed: POST https://a.example\n---\nRESPONSE 403: Forbidden\n--",
      "refused",
      "the store returned Forbidden",
    ],
    [
      500,
      "ERR_STATE_SAVE",
      "failed: POST https://a.example\n---\nRESPONSE 500: Internal\n--",
      "unavailable",
      "the store returned Internal",
    ],
    [
      500,
      "ERR_STATE_SAVE",
      "database is locked (5) (SQLITE_BUSY)",
      "unavailable",
      "database is locked (5) (SQLITE_BUSY)",
    ],
    [500, "ERR_STATE_SAVE", "disk is full", "refused", "disk is full"],
    [500, "ERR_STATE_TRANSACTION", "possible etag mismatch", "conflict", "another request changed the entry first"],
    [500, "ERR_STATE_TRANSACTION", failedWith(404), "conflict", "another request changed the entry first"],
    [500, "ERR_STATE_TRANSACTION", failedWith(412), "conflict", "another request changed the entry first"],
    [500, "ERR_STATE_TRANSACTION", failedWith(429), "unavailable", failedWith(429)],
    [500, "ERR_STATE_TRANSACTION", failedWith(413), "refused", failedWith(413)],
    [401, "", "", "refused", ""],
  ])("the response %i %s %j becomes the error %s", async (status, code, text, kind, message) => {
    say(status, code, text);
    await expect(connectStore(origin).saveMany([{ key: "k", value: 1 }], call)).rejects.toMatchObject({
      kind,
      message,
    });
    await expect(connectStore(origin).delete({ key: "k" }, call)).rejects.toMatchObject({ kind, message });
  });

  const failureOf = (text: string) => storeFailure({ statusCode: 500, headers: {}, text }, "the-store");
  const failureFor = (message: string) => failureOf(JSON.stringify({ errorCode: "ERR_STATE_SAVE", message }));

  test.each([
    "unexpected EOF",
    "read: connection reset by peer",
    "read: connection timed out",
    "read tcp 10.0.0.5:50100->10.0.0.4:443: i/o timeout",
    "read tcp 10.0.0.5:50100->10.0.0.4:443: use of closed network connection",
    "http2: connection refused",
    "net/http: TLS handshake timeout",
    "dial tcp: lookup a.example on 10.0.0.10:53: no such host",
    "dial tcp 10.0.0.4:443: connect: no route to host",
    "context canceled",
    "write: broken pipe",
    "failed to commit transaction",
    "database is locked (517)", // an extended code of SQLITE_BUSY, which the driver does not name
    ...[408, 410, 429, 449, 500, 503, 599].flatMap((status) => [`RESPONSE ${status}: no`, `got status code ${status}`]),
  ])("the failure %j may be over at a retry", (message) => {
    expect(failureFor(message).kind).toBe("unavailable");
  });

  test.each([
    "RESPONSE 400: no",
    "RESPONSE 5000: no",
    "status code 404",
    "status code 5x",
    "status 503",
    "connection refined",
    "operation which failed with status code 412",
    "operation 1 which failed with status code 413",
  ])("the failure %j would be the same at a retry", (message) => {
    expect(failureFor(message).kind).toBe("refused");
  });

  test.each(["operation 10 which failed with status code 409", "operation 0 which failed with status code 404"])(
    "the failure %j is a conflict",
    (message) => expect(failureFor(message).kind).toBe("conflict"),
  );

  test.each(["ERR_STATE_STORE_NOT_FOUND", "ERR_STATE_STORE_NOT_CONFIGURED"])("%s says what to check", (errorCode) => {
    expect(failureOf(JSON.stringify({ errorCode, message: "no" }))).toMatchObject({
      kind: "unavailable",
      message: 'the sidecar has no state store named "the-store"; check its component, its scopes and STATESTORE_NAME',
      cause: { message: `500 ${JSON.stringify({ errorCode, message: "no" })}` },
    });
  });

  test("a failure shows at most 300 characters of the first line, and has the whole response as its cause", () => {
    const text = `${"x".repeat(299)}yz\nsecond line`;
    const shown = { message: `${"x".repeat(299)}y`, cause: { message: `500 ${text}` } };
    expect(failureOf(text), "a proxy's, which is not JSON").toMatchObject(shown);
    expect(failureFor(text).message).toBe(shown.message);
    const conflict = JSON.stringify({ errorCode: "ERR_STATE_SAVE", message: "possible etag mismatch" });
    expect(failureOf(conflict).cause).toMatchObject({ message: `500 ${conflict}` });
    expect(failureOf("null")).toMatchObject({ kind: "refused", message: "null" });
    expect(failureFor("a RESPONSE 403: Forbidden\nx-secret: 1").message).toBe("the store returned Forbidden");
    expect(failureFor("a RESPONSE 4030: Forbidden").message).toBe("a RESPONSE 4030: Forbidden");
  });

  test("ready rejects while the sidecar is not ready, and resolves once it is and its metadata is read", async () => {
    say(500, "ERR_OUTBOUND_HEALTH_NOT_READY", "dapr outbound is not ready");
    const store = connectStore(origin);
    const notReady = { kind: "unavailable", message: `the Dapr sidecar at ${origin} is not ready yet` };
    await expect(store.ready()).rejects.toMatchObject(notReady);
    respond = (_req, res) => res.writeHead(200).end();
    await expect(store.ready()).rejects.toMatchObject(notReady);
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/healthz/outbound", "/v1.0/healthz/outbound"]);
    respond = ({ url }, res) => (url === "/v1.0/metadata" ? res.end(SQLITE) : res.writeHead(204).end());
    await store.ready();
    expect(seen.slice(2).map(({ url }) => url)).toEqual(["/v1.0/healthz/outbound", "/v1.0/metadata"]);
    expect(await store.batches(call)).toBe(true);
    expect(seen).toHaveLength(4);
  });

  test("requests are not batched while the metadata API fails, and the next call queries it again", async () => {
    say(500, "ERR", "context deadline exceeded");
    const store = connectStore(origin);
    expect(await store.batches(call)).toBe(false);
    respond = (_req, res) => res.end(metadataOf("state.sqlite"));
    expect(await store.batches(call)).toBe(true);
    expect(await store.batches(call)).toBe(true);
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/metadata", "/v1.0/metadata"]);
  });

  test("requests are batched on the in-memory store", async () => {
    respond = (_req, res) => res.end(metadataOf("state.in-memory"));
    expect(await connectStore(origin).batches(call)).toBe(true);
  });

  test.each([
    ["[", "malformed"],
    ["null", "null"],
    ['{"components": null}', "without components"],
    ['{"components": [null, {"name": "statestore"}]}', "without a type"],
    [metadataOf("state.memcached"), "of a component without transactions"],
    [metadataOf("state.azure.cosmosdb"), "of Cosmos DB"],
  ])("requests are not batched when the metadata is %s (%s), which is queried once", async (metadata) => {
    respond = (_req, res) => res.end(metadata);
    const store = connectStore(origin);
    expect(await store.batches(call)).toBe(false);
    expect(await store.batches(call)).toBe(false);
    expect(seen).toHaveLength(1);
  });

  test("requests are not batched when the Configuration excludes the metadata API, which is queried once", async () => {
    respond = ({ url }, res) => res.writeHead(url === "/v1.0/metadata" ? 404 : 204).end();
    const store = connectStore(origin);
    await store.ready();
    expect(await store.batches(call)).toBe(false);
    expect(await store.batches(call)).toBe(false);
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/healthz/outbound", "/v1.0/metadata"]);
  });

  test("every call to the store and the metadata API carries the caller's traceparent and the API token", async () => {
    respond = ({ url }, res) => {
      const body = url?.includes("/bulk") ? "[]" : url?.endsWith("/metadata") ? "{}" : "";
      res.writeHead(body ? 200 : 204).end(body);
    };
    const store = connectStore(origin, { apiToken: "the-token" });
    await store.save({ key: "k", value: 1 }, call);
    await store.save({ key: "k", value: 1, condition: { ifNoneMatch: "*" } }, call);
    await store.saveMany([{ key: "k", value: 1 }], call);
    await store.delete({ key: "k" }, call);
    await store.get("k", call);
    await store.getMany(["k", "l"], call);
    await store.transaction([{ operation: "upsert", key: "k~1", data: 1 }], call);
    for (const { url, headers } of seen) {
      expect(headers, url).toMatchObject({ ...call.trace().headers(), "dapr-api-token": "the-token" });
    }
    expect(seen.map(({ method, url }) => `${method} ${url.replace(/\?.*/, "")}`)).toEqual([
      "GET /v1.0/metadata",
      "POST /v1.0/state/statestore",
      "GET /v1.0/state/statestore/k",
      "POST /v1.0/state/statestore",
      "POST /v1.0/state/statestore/transaction",
      "DELETE /v1.0/state/statestore/k",
      "GET /v1.0/state/statestore/k",
      "POST /v1.0/state/statestore/bulk",
      "POST /v1.0/state/statestore/transaction",
    ]);
  });

  test("a write whose response finds no memory may have succeeded, so it is not reported as overload", async () => {
    const others = new BodyMemory();
    others.resize(20 * 1_048_576); // the whole budget
    respond = (_req, res) => res.writeHead(200).end("x".repeat(2_097_152));
    try {
      const message = "the service holds too many large bodies";
      await expect(connectStore(origin).save({ key: "k", value: 1 }, call)).rejects.toMatchObject({
        name: "StoreError",
        kind: "unavailable",
        message,
        cause: { name: "StoreError", kind: "overloaded" },
      });
      await expect(connectStore(origin).get("k", call)).rejects.toMatchObject({
        name: "StoreError",
        kind: "overloaded",
        message,
        cause: { name: "SidecarError" },
      });
    } finally {
      others.release();
    }
  });

  test("a write whose response is too large may have succeeded, so it is not reported as refused", async () => {
    respond = (_req, res) => res.writeHead(200).end("x".repeat(6 * 1_048_576));
    await expect(connectStore(origin).save({ key: "k", value: 1 }, call)).rejects.toMatchObject({
      kind: "unavailable",
    });
  });

  test("a write whose caller has left is not sent", async () => {
    respond = (_req, res) => res.end(SQLITE);
    const trace = vi.fn(call.trace);
    const gone = { ended: new Error("gone"), trace };
    await expect(connectStore(origin).save({ key: "k", value: 1 }, gone)).rejects.toBe(gone.ended);
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/metadata"]);
    expect(trace).toHaveBeenCalledOnce();
  });

  test("a caller who has left does not fail the metadata request that others share", async () => {
    respond = (_req, res) => res.end(SQLITE);
    const store = connectStore(origin);
    const gone = { ended: new Error("gone"), trace: call.trace };
    expect(await Promise.all([store.batches(gone), store.batches(call)])).toEqual([true, true]);
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/metadata"]);
  });

  test("saveMany does not modify its argument", async () => {
    respond = (_req, res) => res.writeHead(204).end();
    const write = Object.freeze({ key: "k", value: Object.freeze({ a: 1 }), ttlInSeconds: 5 });
    await connectStore(origin).saveMany([write], call); // the SDK would write into the frozen object, and throw
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/metadata", "/v1.0/state/statestore/transaction"]);
  });
});

const SQLITE = metadataOf("state.sqlite");
const COSMOS_DB = metadataOf("state.azure.cosmosdb");

/** A response to a request that is not one for metadata. */
type Answer = readonly [status: number, body?: unknown, etag?: string];
const done: Answer = [204];
const missing: Answer = [204];
const entry = (etag: string): Answer => [200, "the value", etag];
const failure = (message: string): Answer => [500, { errorCode: "ERR_STATE_TRANSACTION", message }];
const mismatch = failure(failedWith(412));
const refusal = failure(failedWith(400));
/** What the component for Cosmos DB returns for a transaction that deletes a missing document first. */
const noDocument = failure("error while executing state transaction: transaction failed");
const outage = failure("context deadline exceeded");

/** Responds with these, one after the other; then the connections break. */
function answer(metadata: string, answers: readonly Answer[]) {
  const left = [...answers];
  respond = ({ url }, res) => {
    if (url === "/v1.0/metadata") return res.end(metadata);
    const next = left.shift();
    if (!next) return res.destroy();
    const [status, body, etag] = next;
    res
      .writeHead(status, etag === undefined ? {} : { etag })
      .end(body === undefined ? undefined : JSON.stringify(body));
  };
}

/** What reached the sidecar since the last call, except for requests for metadata. Every UUID reads UUID. */
function takeSent() {
  const sent = seen.flatMap(({ method, url, headers, body }) => {
    if (url === "/v1.0/metadata") return [];
    const request = `${method} ${url.replace("/v1.0/state/statestore", "").replace(/\?$/, "")}`;
    return [{ request, ...(headers["if-match"] && { ifMatch: headers["if-match"] }), ...(body ? { body } : {}) }];
  });
  seen = [];
  return JSON.parse(JSON.stringify(sent).replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, "UUID"));
}

const read = (key: string, query = "") => ({ request: `GET /${key}${query}` });
const saved = (item: object) => ({ request: "POST ", body: [item] });
const deleted = (key: string, ifMatch?: string, query = "") => ({
  request: `DELETE /${key}${query}`,
  ...(ifMatch === undefined ? {} : { ifMatch }),
});
const transacted = (operations: object[], metadata: object | null = {}) => ({
  request: "POST /transaction",
  body: { operations, metadata },
});
const lastWrite = { concurrency: "last-write" };
const conflict = (message: string) => ({ name: "StoreError", kind: "conflict", message });
const changed = conflict("another request changed the entry first");
const noEntry = conflict('key "k" has no entry');

describe("requests to the sidecar", () => {
  test.each<[string, (store: DaprStore) => Promise<unknown>, Answer[], object[], unknown?]>([
    [
      "a save with everything",
      (store) => store.save({ key: "a=b~c", value: 0.1234567, ttlInSeconds: 5, consistency: "strong" }, call),
      [done],
      [
        saved({
          key: "a=b~c",
          value: "json:0.1234567",
          metadata: { partitionKey: "a=b", ttlInSeconds: "5" },
          options: { concurrency: "last-write", consistency: "strong" },
        }),
      ],
    ],
    [
      "an eventual save",
      (store) => store.save({ key: "k", value: null, consistency: "eventual" }, call),
      [done],
      [saved({ key: "k", value: null, metadata: {}, options: { ...lastWrite, consistency: "eventual" } })],
    ],
    [
      "a save if the key is missing",
      (store) => store.save({ key: "k", value: 1, condition: { ifNoneMatch: "*" } }, call),
      [missing, done],
      [read("k"), saved({ key: "k", value: 1, metadata: {}, options: { concurrency: "first-write" } })],
    ],
    [
      "a save if the key is missing, which is not",
      (store) => store.save({ key: "k", value: 1, condition: { ifNoneMatch: "*" } }, call),
      [entry("1")],
      [read("k")],
      conflict('key "k" already has an entry'),
    ],
    [
      "a save if an ETag matches",
      (store) => store.save({ key: "k", value: 1, condition: { ifMatch: ["7", "%221%22"] } }, call),
      [entry('"1"'), done],
      [read("k"), saved({ key: "k", value: 1, metadata: {}, etag: '"1"', options: lastWrite })],
    ],
    [
      "a save if an ETag matches, which changes meanwhile",
      (store) => store.save({ key: "k", value: 1, condition: { ifMatch: ["1"] } }, call),
      [entry("1"), mismatch, entry("1"), done],
      [read("k"), saved({ key: "k", value: 1, metadata: {}, etag: "1", options: lastWrite })],
      changed,
    ],
    [
      "a save if an ETag matches, which does not",
      (store) => store.save({ key: "k", value: 1, condition: { ifMatch: ["7", "8"] } }, call),
      [entry("1")],
      [read("k")],
      conflict('the ETag of key "k" does not match'),
    ],
    [
      "a save if there is an entry, which changes meanwhile",
      (store) => store.save({ key: "k", value: 1, condition: { ifMatch: "*" } }, call),
      [entry("1"), mismatch, entry("2"), done],
      [
        read("k"),
        saved({ key: "k", value: 1, metadata: {}, etag: "1", options: lastWrite }),
        read("k"),
        saved({ key: "k", value: 1, metadata: {}, etag: "2", options: lastWrite }),
      ],
    ],
    [
      "a save if there is an entry, which goes meanwhile",
      (store) => store.save({ key: "k", value: 1, condition: { ifMatch: "*" } }, call),
      [entry("1"), mismatch, missing],
      [read("k"), saved({ key: "k", value: 1, metadata: {}, etag: "1", options: lastWrite }), read("k")],
      noEntry,
    ],
    [
      "a save if there is an entry, which the store refuses",
      (store) => store.save({ key: "k", value: 1, condition: { ifMatch: "*" } }, call),
      [entry("1"), failure("disk is full"), entry("1"), done],
      [read("k"), saved({ key: "k", value: 1, metadata: {}, etag: "1", options: lastWrite })],
      { name: "StoreError", kind: "refused", message: "disk is full" },
    ],
    [
      "saveMany",
      (store) =>
        store.saveMany(
          [
            { key: "k", value: 1, ttlInSeconds: 0 },
            { key: "~l", value: "json:", consistency: "strong" },
          ],
          call,
        ),
      [done],
      [
        transacted(
          [
            {
              operation: "upsert",
              request: { key: "k", value: 1, metadata: { ttlInSeconds: "0" }, options: lastWrite },
            },
            {
              operation: "upsert",
              request: {
                key: "~l",
                value: 'json:"json:"',
                metadata: {},
                options: { concurrency: "last-write", consistency: "strong" },
              },
            },
          ],
          null,
        ),
      ],
    ],
    [
      "a delete",
      (store) => store.delete({ key: "a=b~c" }, call),
      [done],
      [deleted("a%3Db~c", undefined, "?metadata.partitionKey=a%3Db")],
    ],
    [
      "a delete if an ETag matches",
      (store) => store.delete({ key: "k", condition: { ifMatch: ["%221%22"] } }, call),
      [entry('"1"'), done],
      [read("k"), deleted("k", '"1"')],
    ],
    [
      "a delete if there is an entry, which there is not",
      (store) => store.delete({ key: "k", condition: { ifMatch: "*" } }, call),
      [missing],
      [read("k")],
      noEntry,
    ],
    [
      "a delete if the key is missing",
      (store) => store.delete({ key: "k", condition: { ifNoneMatch: "*" } }, call),
      [missing],
      [read("k")],
    ],
    [
      "a delete if the key is missing, which is not",
      (store) => store.delete({ key: "k", condition: { ifNoneMatch: "*" } }, call),
      [entry("1")],
      [read("k")],
      conflict('key "k" already has an entry'),
    ],
    [
      "a transaction",
      (store) =>
        store.transaction(
          [
            { operation: "upsert", key: "p~1", data: { a: 0.1234567 }, ttlInSeconds: 9 },
            { operation: "delete", key: "p~2" },
          ],
          call,
        ),
      [done],
      [
        transacted(
          [
            {
              operation: "upsert",
              request: {
                key: "p~1",
                value: 'json:{"a":0.1234567}',
                metadata: { partitionKey: "p", ttlInSeconds: "9" },
                options: {},
              },
            },
            { operation: "upsert", request: { key: "p~2", value: null, options: {} } },
            { operation: "delete", request: { key: "p~2", options: {} } },
          ],
          { partitionKey: "p" },
        ),
      ],
    ],
    ["an empty transaction", (store) => store.transaction([], call), [], []],
  ])("%s sends these, and no others", async (_what, ask, answers, sent, error) => {
    answer(SQLITE, answers);
    const outcome = await ask(connectStore(origin)).catch((reason) => reason);
    expect(takeSent()).toEqual(sent);
    if (error) expect(outcome).toMatchObject(error);
    else expect(outcome).toBeUndefined();
  });

  test("reads send one request for one key and one for several, unless the response has no entries", async () => {
    const store = connectStore(origin);
    answer(SQLITE, [[200, "json:0.1", '"a"'], missing]);
    expect(await store.get("a=b~c", call)).toEqual({ value: 0.1, etag: "%22a%22" });
    expect(await store.getMany(["k"], call)).toEqual([undefined]);
    expect(takeSent()).toEqual([read("a%3Db~c", "?metadata.partitionKey=a%3Db"), read("k")]);
    answer(SQLITE, [[200, [{ key: "p~2", data: "json:[1]", etag: '"2"' }, { key: "k" }]]]);
    expect(await store.getMany(["k", "p~2", "l"], call)).toEqual([
      undefined,
      { value: [1], etag: "%222%22" },
      undefined,
    ]);
    expect(takeSent()).toEqual([{ request: "POST /bulk", body: { keys: ["k", "p~2", "l"], parallelism: 3 } }]);
    answer(SQLITE, [[200], entry("1"), missing]);
    const entries = await store.getMany(["k", "l"], call);
    expect(entries.toSorted()).toEqual([{ value: "the value", etag: "1" }, undefined]);
    expect(takeSent()).toEqual([
      { request: "POST /bulk", body: { keys: ["k", "l"], parallelism: 2 } },
      read("k"),
      read("l"),
    ]);
  });
});

describe("changes of an entry on Cosmos DB", () => {
  const onlyIf = { condition: { ifMatch: ["%221%22"] } };
  const removal = (key: string) => ({ operation: "delete", request: { key, etag: '"1"', options: {} } });
  const upsert = (key: string, metadata: object = {}) => ({
    operation: "upsert",
    request: { key, value: 2, metadata, options: lastWrite },
  });
  const inDefaultPartition = transacted([removal("k"), upsert("k")], { partitionKey: "state-api||k" });
  const savedAlone = saved({ key: "k", value: 2, metadata: {}, etag: '"1"', options: lastWrite });
  const probe = "state-api.prefix.UUID";
  const probes = [
    saved({ key: probe, value: null, metadata: { ttlInSeconds: "60" }, options: lastWrite }),
    transacted(
      [
        { operation: "delete", request: { key: probe, options: {} } },
        { operation: "upsert", request: { key: probe, value: null, options: {} } },
        { operation: "delete", request: { key: probe, options: {} } },
      ],
      { partitionKey: `state-api||${probe}` },
    ),
  ];
  /** Saves key k if its ETag is "1". Returns the error and what was sent. */
  const saveTo = async (store: DaprStore, answers: readonly Answer[], metadata = COSMOS_DB) => {
    answer(metadata, answers);
    const error = await store.save({ key: "k", value: 2, ...onlyIf }, call).catch((reason) => reason);
    return { error, sent: takeSent() };
  };
  const first = entry('"1"');
  let observed: string[] = [];
  afterEach(() => {
    observed = [];
  });
  const connectObserved = () =>
    connectStore(origin, { observe: (operation, outcome) => observed.push(`${operation} ${outcome}`) });

  test("are transactions in the partition that the key names", async () => {
    const store = connectObserved();
    answer(COSMOS_DB, [first, done, first, done]);
    await store.save({ key: "p~k", value: 2, ...onlyIf }, call);
    await store.delete({ key: "p~k", ...onlyIf }, call);
    expect(takeSent()).toEqual([
      read("p~k", "?metadata.partitionKey=p"),
      transacted([removal("p~k"), upsert("p~k", { partitionKey: "p" })], { partitionKey: "p" }),
      read("p~k", "?metadata.partitionKey=p"),
      transacted([removal("p~k")], { partitionKey: "p" }),
    ]);
    expect(observed).toEqual(["get ok", "metadata ok", "save ok", "get ok", "delete ok"]);
  });

  test("are transactions in the partition of Dapr's default prefix, and a success shows that it is in use", async () => {
    const store = connectStore(origin);
    expect(await saveTo(store, [first, done])).toEqual({ sent: [read("k"), inDefaultPartition] });
    const { error, sent } = await saveTo(store, [first, mismatch]);
    expect(sent, "a conflict is one").toEqual([read("k"), inDefaultPartition]);
    expect(error).toMatchObject(changed);
  });

  test("are tried alone after a conflict that shows a `keyPrefix`, and alone from then on", async () => {
    const store = connectObserved();
    expect(await saveTo(store, [first, mismatch, done, noDocument, done, done])).toEqual({
      sent: [read("k"), inDefaultPartition, ...probes, deleted(probe), savedAlone],
    });
    expect(observed.slice(2)).toEqual(["save conflict", "save ok", "delete refused", "delete ok", "save ok"]);
    expect(await saveTo(store, [first, done])).toEqual({ sent: [read("k"), savedAlone] });
    answer(COSMOS_DB, [first, done]);
    await store.delete({ key: "k", ...onlyIf }, call);
    expect(takeSent()).toEqual([read("k"), deleted("k", '"1"')]);
  });

  test("end in a conflict that is one when the partition of the default prefix is in use", async () => {
    const store = connectStore(origin);
    const { error, sent } = await saveTo(store, [first, mismatch, done, done]);
    expect(sent).toEqual([read("k"), inDefaultPartition, ...probes]);
    expect(error).toMatchObject(changed);
    const again = await saveTo(store, [first, mismatch]);
    expect(again.sent, "it is known").toEqual([read("k"), inDefaultPartition]);
    expect(again.error).toMatchObject(changed);
  });

  test.each([
    ["save", [outage], "unavailable"],
    ["transaction", [done, outage], "unavailable"],
    ["transaction, such as a missing role,", [done, refusal], "refused"],
  ])("end in the failure of a probe's %s, and the next conflict probes again", async (_what, answers, kind) => {
    const store = connectStore(origin);
    const { error, sent } = await saveTo(store, [first, mismatch, ...answers]);
    expect(sent).toEqual([read("k"), inDefaultPartition, ...probes.slice(0, answers.length)]);
    expect(error).toMatchObject({ kind });
    const again = await saveTo(store, [first, mismatch, done, done]);
    expect(again.sent).toEqual([read("k"), inDefaultPartition, ...probes]);
  });

  test("end in a failure that is no conflict without a probe", async () => {
    const { error, sent } = await saveTo(connectStore(origin), [first, refusal]);
    expect(sent).toEqual([read("k"), inDefaultPartition]);
    expect(error).toMatchObject({ kind: "refused", message: failedWith(400) });
  });

  test("are made alone when the app id stays unknown, and on other stores", async () => {
    for (const metadata of [
      metadataOf("state.azure.cosmosdb", {}),
      metadataOf("state.azure.cosmosdb", { id: 7 }),
      SQLITE,
    ]) {
      expect(await saveTo(connectStore(origin), [first, done], metadata)).toEqual({ sent: [read("k"), savedAlone] });
    }
  });

  test("are not sent while the metadata API fails: on Cosmos DB, a change alone may bring back an entry", async () => {
    const store = connectStore(origin);
    answer("", [first]);
    const answerOthers = respond;
    respond = (req, res) => (req.url === "/v1.0/metadata" ? res.destroy() : answerOthers(req, res));
    await expect(store.save({ key: "k", value: 2, ...onlyIf }, call)).rejects.toMatchObject({ kind: "unavailable" });
    expect(takeSent()).toEqual([read("k")]);
    expect(await saveTo(store, [first, done]), "the next one queries it again").toEqual({
      sent: [read("k"), inDefaultPartition],
    });
  });

  test("the sidecar may return with another prefix, so a lost connection makes the next change find out again", async () => {
    const store = connectStore(origin);
    await saveTo(store, [first, mismatch, done, noDocument, done, done]);
    expect((await saveTo(store, [])).error).toMatchObject({ kind: "unavailable" });
    const queried = () => seen.filter(({ url }) => url === "/v1.0/metadata").length;
    answer(COSMOS_DB, [first, done]);
    await store.save({ key: "k", value: 2, ...onlyIf }, call);
    expect(queried()).toBe(1);
    expect(takeSent()).toEqual([read("k"), inDefaultPartition]);
  });
});

describe("calls to the sidecar", () => {
  test("are measured, each with its outcome", async () => {
    const observed: [string, string][] = [];
    const durations: number[] = [];
    const store = connectStore(origin, {
      observe(operation, outcome, seconds) {
        observed.push([operation, outcome]);
        durations.push(seconds);
      },
    });
    const started = performance.now();
    answer(SQLITE, [done, missing, [200, []], mismatch, refusal, outage, [200, "x".repeat(MAX_RESPONSE_BYTES)]]);
    await store.save({ key: "k", value: 1 }, call);
    await store.get("k", call);
    await store.getMany(["k", "l"], call);
    await expect(store.delete({ key: "k" }, call)).rejects.toMatchObject({ kind: "conflict" });
    await expect(store.saveMany([{ key: "k", value: 1 }], call)).rejects.toMatchObject({ kind: "refused" });
    await expect(store.transaction([{ operation: "delete", key: "k" }], call)).rejects.toThrow("deadline exceeded");
    await expect(store.get("k", call)).rejects.toMatchObject({
      name: "StoreError",
      kind: "too-large",
      message: `the Dapr sidecar's response is larger than ${MAX_RESPONSE_BYTES} bytes`,
      cause: { name: "SidecarError" },
    });
    const unwritable = JSON.parse(`${'{"0":'.repeat(9_000)}1${"}".repeat(9_000)}`);
    await expect(store.saveMany([{ key: "k", value: unwritable }], call)).rejects.toThrow(RangeError);
    expect(observed).toEqual([
      ["metadata", "ok"],
      ["save", "ok"],
      ["get", "ok"],
      ["get", "ok"],
      ["delete", "conflict"],
      ["save", "refused"],
      ["transaction", "unavailable"],
      ["get", "too-large"],
      ["save", "refused"],
    ]);
    for (const seconds of durations) expect(seconds).toBeGreaterThan(0);
    expect(durations.reduce((sum, seconds) => sum + seconds)).toBeLessThan((performance.now() - started) / 1_000);
  });

  test("of callers who have left once a connection is free are neither sent nor measured", async () => {
    const observed: unknown[] = [];
    const store = connectStore(origin, { observe: (...measured) => observed.push(measured) });
    answer(SQLITE, []);
    const reason = new Error("left");
    const leaving: Call = {
      ended: undefined,
      trace() {
        leaving.ended = reason;
        return call.trace();
      },
    };
    await expect(store.get("k", leaving)).rejects.toBe(reason);
    expect(observed).toEqual([]);
    expect(seen).toEqual([]);
  });

  test("print nothing when they fail", async () => {
    const printed = (["error", "warn", "info", "log", "debug"] as const).map((level) => vi.spyOn(console, level));
    try {
      answer(SQLITE, [refusal, refusal]);
      const store = connectStore(origin);
      await expect(store.save({ key: "k", value: 1 }, call)).rejects.toMatchObject({ kind: "refused" });
      await expect(store.delete({ key: "k" }, call)).rejects.toMatchObject({ kind: "refused" });
      expect(printed.flatMap(({ mock }) => mock.calls)).toEqual([]);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test("say how to start a sidecar when there is none, and not when the connection breaks", async () => {
    answer(SQLITE, []);
    await expect(connectStore(origin).get("k", call)).rejects.toMatchObject({
      name: "StoreError",
      kind: "unavailable",
      message: `the Dapr sidecar at ${origin} closed the connection`,
      cause: { name: "SidecarError", kind: "interrupted" },
    });
    const [port] = await freePorts(1);
    const absent = `http://127.0.0.1:${port}`;
    await expect(connectStore(absent).get("k", call)).rejects.toMatchObject({
      name: "StoreError",
      kind: "unavailable",
      message: `the Dapr sidecar at ${absent} is unreachable; "npm start" or "dapr run -f ." starts one`,
      cause: { name: "SidecarError", kind: "unreachable" },
    });
  });
});

describe("the time limit", () => {
  afterEach(() => {
    vi.useRealTimers();
  });
  const save = (store: DaprStore) => store.save({ key: "k", value: 1 }, call);

  test.each<[string, string, (store: DaprStore) => Promise<unknown>, number]>([
    ["a write to Cosmos DB", COSMOS_DB, save, 500],
    ["a write to a store of unknown type", "{}", save, 500],
    ["a read from Cosmos DB", COSMOS_DB, (store) => store.get("k", call), 2_000],
    ["a write to SQLite", SQLITE, save, 2_000],
    ["the readiness of the sidecar", SQLITE, (store) => store.ready(), 1_000],
  ])("of %s holds", async (_what, metadata, ask, limit) => {
    const store = createDaprStore({ origin, storeName: "statestore", requestTimeoutMs: 1_900 });
    onTestFinished(() => store.close());
    respond = (_req, res) => res.end(metadata);
    await store.batches(call);
    const arrived = Promise.withResolvers<void>();
    respond = () => arrived.resolve();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const settled = vi.fn();
    const outcome = ask(store).catch((reason) => reason);
    outcome.then(settled);
    await arrived.promise;
    await vi.advanceTimersByTimeAsync(limit - 1);
    expect(settled).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(await outcome).toMatchObject({
      name: "StoreError",
      kind: "unavailable",
      message: `no response from the Dapr sidecar at ${origin} within ${limit} ms`,
    });
  });
});
