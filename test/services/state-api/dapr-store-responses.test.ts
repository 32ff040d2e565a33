// The adapter against responses that the test chooses; dapr-store.test.ts has a real sidecar.
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BodyMemory } from "../../../services/runtime/body-memory.ts";
import { connectStore } from "../../support/dapr-store.ts";
import { createCall } from "../../support/memory-store.ts";

const call = createCall();
/** Responses that a real sidecar does not send on demand. */
describe("responses of the sidecar", () => {
  let sidecar: Server;
  let origin: string;
  let respond: RequestListener;
  let seen: { method: string | undefined; url: string; headers: NodeJS.Dict<string | string[]> }[] = [];
  beforeAll(async () => {
    sidecar = createServer((req, res) => {
      seen.push({ method: req.method, url: req.url ?? "", headers: req.headers });
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
  const say = (status: number, errorCode: string, message: string) => {
    respond = (_req, res) => res.writeHead(status).end(JSON.stringify({ errorCode, message }));
  };

  /** The text that the component for Cosmos DB returns for a transaction. */
  const failedWith = (status: number) =>
    `transaction failed due to operation 1 which failed with status code ${status}`;

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

  test("ready rejects while the sidecar is not ready", async () => {
    say(500, "ERR_OUTBOUND_HEALTH_NOT_READY", "dapr outbound is not ready");
    await expect(connectStore(origin).ready()).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("is not ready yet"),
    });
  });

  const metadataOf = (type: string, capabilities: string[]) =>
    JSON.stringify({ id: "state-api", components: [{ name: "statestore", type, capabilities }] });

  test("requests are not batched while the metadata API fails, and the next call queries it again", async () => {
    say(500, "ERR", "context deadline exceeded");
    const store = connectStore(origin);
    expect(await store.batches(call)).toBe(false);
    respond = (_req, res) => res.end(metadataOf("state.sqlite", ["ETAG", "TRANSACTIONAL"]));
    expect(await store.batches(call)).toBe(true);
    expect(await store.batches(call)).toBe(true);
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/metadata", "/v1.0/metadata"]);
  });

  test.each([
    ["[", "malformed"],
    ["null", "null"],
    ['{"components": null}', "without components"],
    ['{"components": [null, {"name": "statestore"}]}', "without a type"],
    [metadataOf("state.memcached", ["TTL"]), "of a component without transactions"],
    [metadataOf("state.azure.cosmosdb", ["ETAG", "TRANSACTIONAL"]), "of Cosmos DB"],
  ])("requests are not batched when the metadata is %s (%s), which is queried once", async (metadata) => {
    respond = (_req, res) => res.end(metadata);
    const store = connectStore(origin);
    expect(await store.batches(call)).toBe(false);
    expect(await store.batches(call)).toBe(false);
    expect(seen).toHaveLength(1);
  });

  test("requests are not batched when the Configuration excludes the metadata API, which is queried once", async () => {
    say(404, "ERR_DIRECT_INVOKE", "failed getting app id");
    const store = connectStore(origin);
    expect(await store.batches(call)).toBe(false);
    expect(await store.batches(call)).toBe(false);
    expect(seen).toHaveLength(1);
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
      await expect(connectStore(origin).save({ key: "k", value: 1 }, call)).rejects.toMatchObject({
        kind: "unavailable",
      });
      await expect(connectStore(origin).get("k", call)).rejects.toMatchObject({ kind: "overloaded" });
    } finally {
      others.release();
    }
  });

  test("a call whose caller has left is not sent", async () => {
    const store = connectStore(origin);
    await expect(store.save({ key: "k", value: 1 }, { ...call, ended: new Error("gone") })).rejects.toThrow("gone");
    expect(seen).toEqual([]);
  });

  test("saveMany does not modify its argument", async () => {
    respond = (_req, res) => res.writeHead(204).end();
    const write = Object.freeze({ key: "k", value: Object.freeze({ a: 1 }), ttlInSeconds: 5 });
    await connectStore(origin).saveMany([write], call); // the SDK would write into the frozen object, and throw
    expect(seen.map(({ url }) => url)).toEqual(["/v1.0/metadata", "/v1.0/state/statestore/transaction"]);
  });
});
