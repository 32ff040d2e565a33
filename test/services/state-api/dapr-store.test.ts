import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createDaprStore, type DaprStore } from "../../../services/state-api/dapr-store.ts";
import { createCall } from "../../support/memory-store.ts";
import { freePorts, type Process, sqliteResources, startSidecar } from "../../support/processes.ts";

const call = createCall();
const stores: DaprStore[] = [];
function connect(
  origin: string,
  more: { storeName?: string; requestTimeoutMs?: number; apiToken?: string } = {},
): DaprStore {
  const store = createDaprStore({ origin, storeName: "statestore", requestTimeoutMs: 1_900, ...more });
  stores.push(store);
  return store;
}
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

/** Every kind of call. */
const asks = (store: DaprStore) => ({
  get: () => store.get("k", call),
  getMany: () => store.getMany(["k", "l"], call),
  save: () => store.save({ key: "k", value: 1 }, call),
  "save with a condition": () => store.save({ key: "k", value: 1, condition: { ifNoneMatch: "*" } }, call),
  saveMany: () => store.saveMany([{ key: "k", value: 1 }], call),
  delete: () => store.delete({ key: "k" }, call),
  transaction: () => store.transaction([{ operation: "upsert", key: "k", data: 1 }], call),
  bulkReadsAreCheap: () => store.bulkReadsAreCheap(call),
  ready: () => store.ready(),
});

async function timed(work: Promise<unknown>): Promise<{ error: unknown; milliseconds: number }> {
  const started = performance.now();
  const error = await work.then(
    () => undefined,
    (reason) => reason,
  );
  return { error, milliseconds: performance.now() - started };
}

describe("a sidecar that is not as it should be", () => {
  test("absent: every call says so within 2 s, and how to start one", async () => {
    const [port] = await freePorts(1);
    for (const [name, ask] of Object.entries(asks(connect(`http://127.0.0.1:${port}`)))) {
      const { error, milliseconds } = await timed(ask());
      expect(error, name).toMatchObject({ kind: "unavailable", message: expect.stringContaining("npm start") });
      expect(milliseconds, name).toBeLessThan(2_000);
    }
  });

  test("frozen: every call ends within 2 s", async () => {
    const local = sqliteResources();
    const sidecar = await startSidecar({ resources: [local.folder] });
    const store = connect(sidecar.origin);
    await store.ready();
    process.kill(sidecar.pid, "SIGSTOP");
    const outcomes = await Promise.all(Object.values(asks(store)).map((ask) => timed(ask())));
    process.kill(sidecar.pid, "SIGCONT");
    for (const { error, milliseconds } of outcomes) {
      expect(error).toMatchObject({
        kind: "unavailable",
        message: expect.stringMatching(/no response from .* within/),
      });
      expect(milliseconds).toBeLessThan(2_500); // 2 s, and what a busy machine adds
    }
    await sidecar.end();
    local.remove();
  });

  test("without the component: says which name is missing and where to look", async () => {
    const local = sqliteResources();
    const sidecar = await startSidecar({ resources: [local.folder] });
    const { ready: _, ...calls } = asks(connect(sidecar.origin, { storeName: "other" }));
    for (const [name, ask] of Object.entries(calls)) {
      const { error } = await timed(ask());
      expect(error, name).toMatchObject({ kind: "unavailable", message: expect.stringContaining('"other"') });
    }
    await sidecar.end();
    local.remove();
  });

  test("back after a restart: the next call works", async () => {
    const local = sqliteResources();
    let sidecar = await startSidecar({ resources: [local.folder] });
    const store = connect(sidecar.origin);
    await store.save({ key: "k", value: "kept" }, call);
    await sidecar.end();
    await expect(store.get("k", call)).rejects.toMatchObject({ kind: "unavailable" });
    sidecar = await sidecar.restart();
    expect(await store.get("k", call)).toMatchObject({ value: "kept" });
    await sidecar.end();
    local.remove();
  });
});

describe("keys that try to reach other APIs of the sidecar", () => {
  const folder = mkdtempSync(join(tmpdir(), "state-api-secrets-"));
  let open: Process; // without the suite's Configuration: its secrets API answers
  let closed: Process;
  beforeAll(async () => {
    writeFileSync(join(folder, "secrets.json"), JSON.stringify({ name: "the-secret" }));
    writeFileSync(
      join(folder, "resources.yaml"),
      `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: statestore }
spec: { type: state.in-memory, version: v1 }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec:
  type: secretstores.local.file
  version: v1
  metadata: [{ name: secretsFile, value: ${join(folder, "secrets.json")} }]
`,
    );
    [open, closed] = await Promise.all([
      startSidecar({ resources: [folder] }),
      startSidecar({ resources: [folder], config: "components/local/config.yaml" }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([open.end(), closed.end()]);
    rmSync(folder, { recursive: true, force: true });
  });

  // The HTTP service refuses such keys; these two lines of defence hold even if it did not.
  test("are encoded by the adapter, so that even a sidecar that answers everything sees a key", async () => {
    expect(await (await fetch(`${open.origin}/v1.0/secrets/vault/name`)).json()).toEqual({ name: "the-secret" });
    const store = connect(open.origin);
    for (const key of ["../../secrets/vault/name", "..%2f..%2fsecrets/vault/name", "x?y", "a#b", "a+b", "a%2Bb", "ü"]) {
      expect(await store.get(key, call), key).toBeUndefined();
      await store.save({ key, value: key }, call);
      expect(await store.get(key, call), key).toMatchObject({ value: key });
      await store.delete({ key }, call);
      expect(await store.get(key, call), key).toBeUndefined();
    }
  });

  test("meet an API that the Configuration has closed", async () => {
    expect((await fetch(`${closed.origin}/v1.0/secrets/vault/name`)).status).toBe(404);
    expect((await fetch(`${closed.origin}/v1.0/secrets/vault/bulk`)).status).toBe(404);
    expect((await fetch(`${closed.origin}/v1.0/publish/pubsub/topic`, { method: "POST" })).status).toBe(404);
    expect((await fetch(`${closed.origin}/v1.0/shutdown`, { method: "POST" })).status).toBe(404);
    expect(await connect(closed.origin).get("k", call)).toBeUndefined();
  });
});

/** Answers that a real sidecar cannot be made to give on demand. */
describe("answers of the sidecar", () => {
  let sidecar: Server;
  let origin: string;
  let answer: RequestListener;
  let seen: { url: string; headers: NodeJS.Dict<string | string[]> }[] = [];
  beforeAll(async () => {
    sidecar = createServer((req, res) => {
      seen.push({ url: req.url ?? "", headers: req.headers });
      answer(req, res);
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
    answer = (_req, res) => res.writeHead(status).end(JSON.stringify({ errorCode, message }));
  };

  test("an error of one key inside a 200 fails the read", async () => {
    answer = (_req, res) =>
      res.end(
        JSON.stringify([
          { key: "k", data: 1, etag: "1" },
          { key: "l", error: "bad row\nx" },
        ]),
      );
    await expect(connect(origin).getMany(["k", "l"], call)).rejects.toMatchObject({
      kind: "refused",
      message: "bad row",
    });
  });

  test("another application's bytes that are not JSON are read as text", async () => {
    answer = (_req, res) => res.setHeader("ETag", "1").end("plain bytes");
    expect(await connect(origin).get("k", call)).toEqual({ value: "plain bytes", etag: "1" });
  });

  test.each([
    [409, "ERR_STATE_SAVE", "possible etag mismatch", "conflict", "the entry was changed meanwhile"],
    [400, "ERR_STATE_SAVE", "invalid etag value", "conflict", "the entry was changed meanwhile"],
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
    [500, "ERR_STATE_SAVE", "disk is full", "refused", "disk is full"],
    [401, "", "", "refused", ""],
  ])("%i %s %j becomes %s", async (status, code, text, kind, message) => {
    say(status, code, text);
    await expect(connect(origin).saveMany([{ key: "k", value: 1 }], call)).rejects.toMatchObject({ kind, message });
    await expect(connect(origin).delete({ key: "k" }, call)).rejects.toMatchObject({ kind, message });
  });

  test("a sidecar that is not ready yet says so", async () => {
    say(500, "ERR_OUTBOUND_HEALTH_NOT_READY", "dapr outbound is not ready");
    await expect(connect(origin).ready()).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("is not ready yet"),
    });
  });

  test("bulk reads count as expensive when the Configuration excludes the metadata API, which is asked once", async () => {
    say(404, "ERR_DIRECT_INVOKE", "failed getting app id");
    const store = connect(origin);
    expect(await store.bulkReadsAreCheap(call)).toBe(false);
    expect(await store.bulkReadsAreCheap(call)).toBe(false);
    expect(seen).toHaveLength(1);
  });

  test("each call carries the caller's trace and the sidecar's token", async () => {
    answer = (_req, res) => res.writeHead(204).end();
    const store = connect(origin, { apiToken: "the-token" });
    await store.save({ key: "k", value: 1 }, call);
    await store.delete({ key: "k" }, call);
    await store.get("k", call);
    for (const { headers } of seen) {
      expect(headers).toMatchObject({ traceparent: call.traceparent(), "dapr-api-token": "the-token" });
    }
    expect(seen).toHaveLength(3);
  });

  test("a call whose caller is gone is not sent", async () => {
    const store = connect(origin);
    await expect(store.save({ key: "k", value: 1 }, { ...call, ended: new Error("gone") })).rejects.toThrow("gone");
    expect(seen).toEqual([]);
  });

  test("what is saved is not changed on the way", async () => {
    answer = (_req, res) => res.writeHead(204).end();
    const write = Object.freeze({ key: "k", value: Object.freeze({ a: 1 }), ttlInSeconds: 5 });
    await connect(origin).saveMany([write], call); // the SDK would write into a frozen object, and throw
    expect(seen).toHaveLength(1);
  });
});
