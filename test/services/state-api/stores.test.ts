import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Container, CosmosClient } from "@azure/cosmos";
import { pino } from "pino";
import { Registry } from "prom-client";
import request, { type Agent } from "supertest";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createApp } from "../../../services/state-api/app.ts";
import { coalesce } from "../../../services/state-api/batching/coalesce.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";
import { createDaprStore, type DaprStore } from "../../../services/state-api/dapr-store.ts";
import { type CosmosSimulator, startCosmosSimulator } from "../../simulators/cosmos/simulator.ts";
import { patientTimeouts } from "../../support/dapr-store.ts";
import { createCall } from "../../support/memory-store.ts";
import { type Process, resiliencyResources, root, sqliteResources, startSidecar } from "../../support/processes.ts";

/** Serves the whole API in this process, over a real daprd. */
function serveOver(sidecar: Process): { api: Agent; store: DaprStore } {
  const config = readStateApiConfig({ STATESTORE_TIMEOUT_MS: "20000" }, []);
  const store = createDaprStore({ origin: sidecar.origin, storeName: "statestore", ...patientTimeouts });
  const app = createApp({
    store: coalesce(store, { maxPending: 1_000 }),
    config,
    log: pino({ level: "silent" }),
    register: new Registry(),
    ready: store.ready,
  });
  return { api: request.agent(app), store };
}

const local = sqliteResources();
const policy = resiliencyResources("patient");
let cosmos: CosmosSimulator;

function startOnCosmos(resources = "components/cosmos/sidecar-key"): Promise<Process> {
  const env = { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key };
  return startSidecar({ resources: [resources, policy.folder], env });
}

/** The API over a sidecar with these resources, and the container behind it. */
async function openCosmos(resources?: string): Promise<{ api: Agent; container: Container; close(): Promise<void> }> {
  const sidecar = await startOnCosmos(resources);
  const { api, store } = serveOver(sidecar);
  const client = new CosmosClient({ endpoint: cosmos.url, key: cosmos.key });
  return {
    api,
    container: client.database("dapr-db").container("statestore"),
    async close() {
      client.dispose();
      await store.close();
      await sidecar.end();
    },
  };
}

const stores = [
  {
    name: "SQLite",
    batches: true,
    start: () => startSidecar({ resources: [local.folder], config: "components/local/config.yaml" }),
  },
  {
    name: "Cosmos DB",
    batches: false,
    start: () => startOnCosmos(),
  },
];

beforeAll(async () => {
  cosmos = await startCosmosSimulator({});
  cosmos.createContainer("dapr-db", "statestore");
});
afterAll(async () => {
  await cosmos.close();
  local.remove();
  policy.remove();
});

describe.each(stores)("the state API on $name", ({ start, batches }) => {
  let sidecar: Process;
  let api: Agent;
  let store: DaprStore;
  beforeAll(async () => {
    sidecar = await start();
    ({ api, store } = serveOver(sidecar));
  });
  afterAll(async () => {
    await store.close();
    await sidecar.end();
  });
  const etagOf = async (key: string) => (await api.get(`/state/${key}`)).headers.etag ?? "";

  test.each([null, "", 0, false, "text", 12.5, [1, [2]], { hello: "world", ключ: "значение <&>" }, {}, []])(
    "saves %j and reads it back unchanged",
    async (value) => {
      await api.post("/state").send({ key: "value", data: value }).expect(200, "Successfully wrote to statestore");
      const read = await api
        .get("/state/value")
        .expect(200)
        .expect("Content-Type", /^application\/json/);
      expect(read.body).toEqual(value);
      const [many] = (await api.post("/state/bulk").send({ keys: ["value"] })).body;
      expect(many).toEqual({ key: "value", found: true, data: value, etag: expect.any(String) });
    },
  );

  const keys = ["a.b", "a~b", "~x", "a:b@c", "a=b,c", "a+b", "a-b_c", "...", "x".repeat(958)];
  test.each(keys.map((key) => ({ key, shown: key.slice(0, 20) })))(
    "accepts the key $shown on every route",
    async ({ key }) => {
      const path = `/state/${encodeURIComponent(key)}`;
      await api.put(path).send({ of: key }).expect(204);
      expect((await api.get(path).expect(200)).body).toEqual({ of: key });
      expect((await api.post("/state/bulk").send({ keys: [key] })).body[0]).toMatchObject({ key, found: true });
      await api.delete(path).expect(204);
      await api.get(path).expect(404);
    },
  );

  test("POST /state returns JSON when Accept prefers it", async () => {
    const response = await api.post("/state").set("Accept", "application/json").send({ key: "j", data: 1 }).expect(200);
    expect(response.body).toEqual({ message: "Successfully wrote to statestore", key: "j" });
  });

  test("a missing key returns 404 on GET, 204 on DELETE, and found: false in bulk", async () => {
    await api
      .get("/state/absent")
      .expect(404)
      .expect("Content-Type", /problem\+json/);
    await api.delete("/state/absent").expect(204);
    expect((await api.post("/state/bulk").send({ keys: ["absent"] })).body).toEqual([{ key: "absent", found: false }]);
  });

  test("POST /state/bulk returns items in the order of the request, with missing keys", async () => {
    await api.put("/state/m1").send({ v: 1 }).expect(204);
    await api.put("/state/m2").set("Content-Type", "application/json").send("null").expect(204);
    const { body } = await api
      .post("/state/bulk")
      .send({ keys: ["m2", "none", "m1"] })
      .expect(200);
    expect(body.map(({ key, found }: { key: string; found: boolean }) => [key, found])).toEqual([
      ["m2", true],
      ["none", false],
      ["m1", true],
    ]);
  });

  test("GET returns a strong ETag that changes with every write, and 304 while it has not changed", async () => {
    await api.put("/state/e").send({ v: 1 });
    const first = await etagOf("e");
    expect(first).toMatch(/^"[^"]+"$/);
    await api.get("/state/e").set("If-None-Match", first).expect(304);
    await api.put("/state/e").send({ v: 2 });
    expect(await etagOf("e")).not.toBe(first);
    await api.get("/state/e").set("If-None-Match", first).expect(200);
  });

  test("PUT with If-Match replaces only an entry with one of its ETags", async () => {
    await api.put("/state/im").send({ v: 1 });
    const stale = await etagOf("im");
    await api.put("/state/im").set("If-Match", stale).send({ v: 2 }).expect(204);
    await api.put("/state/im").set("If-Match", stale).send({ v: 3 }).expect(412);
    await api
      .put("/state/im")
      .set("If-Match", `W/${await etagOf("im")}`)
      .send({ v: 3 })
      .expect(412);
    await api
      .put("/state/im")
      .set("If-Match", `"other", ${await etagOf("im")}`)
      .send({ v: 4 })
      .expect(204);
    await api
      .put("/state/im")
      .set("If-Match", `W/"other", ${await etagOf("im")}`)
      .send({ v: 4 })
      .expect(204);
    await api.put("/state/im").set("If-Match", "*").send({ v: 5 }).expect(204);
    expect((await api.get("/state/im")).body).toEqual({ v: 5 });
    await api.put("/state/im-absent").set("If-Match", "*").send({ v: 1 }).expect(412);
    await api.put("/state/im-absent").set("If-Match", stale).send({ v: 1 }).expect(412);
    await api.get("/state/im-absent").expect(404);
  });

  test("PUT with If-None-Match: * creates an entry once", async () => {
    await api.put("/state/create").set("If-None-Match", "*").send({ v: 1 }).expect(201);
    await api.put("/state/create").set("If-None-Match", "*").send({ v: 2 }).expect(412);
    await api.put("/state/create").set({ "If-None-Match": "*", "If-Match": "*" }).send({ v: 2 }).expect(412);
    expect((await api.get("/state/create")).body).toEqual({ v: 1 });
  });

  test("DELETE with If-Match deletes only an entry with its ETag", async () => {
    await api.put("/state/dm").send({ v: 1 });
    await api.delete("/state/dm").set("If-Match", '"stale"').expect(412);
    await api.get("/state/dm").expect(200);
    await api
      .delete("/state/dm")
      .set("If-Match", await etagOf("dm"))
      .expect(204);
    await api.delete("/state/dm").set("If-Match", "*").expect(412);
  });

  test("POST /state returns 409 when its etag or first-write does not hold", async () => {
    const save = (more: object) => api.post("/state").send({ key: "p", data: more, ...more });
    await save({ concurrency: "first-write" }).expect(200);
    const conflict = await save({ concurrency: "first-write" }).expect(409);
    expect(conflict.body.title).toMatch(/^Error writing to statestore: key "p" already has an entry/);
    const etag = (await etagOf("p")).slice(1, -1);
    await save({ etag, concurrency: "first-write" }).expect(200);
    await save({ etag }).expect(409);
    await save({ concurrency: "last-write", consistency: "strong" }).expect(200);
  });

  test("one of 100 writers with the same ETag succeeds", async () => {
    await api.put("/state/race").send({ v: 0 });
    const etag = await etagOf("race");
    const responses = await Promise.all(
      Array.from({ length: 100 }, (_, index) => api.put("/state/race").set("If-Match", etag).send({ v: index })),
    );
    expect(responses.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(responses.filter(({ status }) => status === 412)).toHaveLength(99);
  });

  // The sidecar's circuit breaker counts conflicts as failures, and opens after 100 in a row.
  test.each([
    {
      condition: "a PUT with a stale ETag",
      send: (etag: string) => api.put("/state/open").set("If-Match", etag).send({ v: 2 }),
    },
    {
      condition: "a DELETE with a stale ETag",
      send: (etag: string) => api.delete("/state/open").set("If-Match", etag),
    },
    { condition: "a creation", send: () => api.put("/state/open").set("If-None-Match", "*").send({ v: 2 }) },
  ])("150 conflicts of $condition do not open the circuit breaker", async ({ send }) => {
    await api.put("/state/open").send({ v: 0 }).expect(204);
    const stale = await etagOf("open");
    await api.put("/state/open").send({ v: 1 }).expect(204);
    const conflicts = await Promise.all(Array.from({ length: 150 }, () => send(stale)));
    expect(new Set(conflicts.map(({ status }) => status))).toEqual(new Set([412]));
    await api.put("/state/open").send({ v: 2 }).expect(204);
  });

  test("an entry expires after ttlInSeconds and not before, saved alone or in a transaction", async () => {
    const started = performance.now();
    await api.post("/state").send({ key: "ttl", data: 1, ttlInSeconds: 3 }).expect(200);
    await api.post("/state").send({ key: "ttl-long", data: 1, ttlInSeconds: 600 }).expect(200);
    const operations = [
      { operation: "upsert", key: "ttl~short", data: 1, ttlInSeconds: 3 },
      { operation: "upsert", key: "ttl~long", data: 1, ttlInSeconds: 600 },
      { operation: "upsert", key: "ttl~none", data: 1 },
    ];
    await api.post("/state/transaction").send({ operations }).expect(204);
    const ends = new Map<string, number>();
    const find = async (key: string) => {
      const { status } = await api.get(`/state/${key}`);
      if (status === 404 && !ends.has(key)) ends.set(key, performance.now() - started);
      return status;
    };
    const keys = ["ttl", "ttl~short", "ttl-long", "ttl~long", "ttl~none"];
    const statuses = () => Promise.all(keys.map(find));
    await expect.poll(statuses, { interval: 200 }).toEqual([404, 404, 200, 200, 200]);
    // The stores count whole seconds from the one in which the write began.
    for (const [key, milliseconds] of ends) expect(milliseconds, key).toBeGreaterThan(2_000);
  });

  test("POST /state/transaction applies all operations, and reads return the results", async () => {
    await api.put("/state/tx~old").send({ v: 1 });
    await api
      .post("/state/transaction")
      .send({
        operations: [
          { operation: "upsert", key: "tx~1", data: { v: 1 } },
          { operation: "upsert", key: "tx~2", data: null, ttlInSeconds: 60 },
          { operation: "delete", key: "tx~old" },
          { operation: "delete", key: "tx~never" },
        ],
      })
      .expect(204);
    expect((await api.get("/state/tx~1").expect(200)).body).toEqual({ v: 1 });
    expect((await api.get("/state/tx~2").expect(200)).body).toBeNull();
    await api.get("/state/tx~old").expect(404);
    await api
      .post("/state/transaction")
      .send({ operations: [{ operation: "delete", key: "tx~never" }] })
      .expect(204);
  });

  test("POST /state/transaction applies 100 upserts and 50 deletes, and rejects 101 and 51", async () => {
    const keys = (count: number) => Array.from({ length: count }, (_, index) => `alice~${index}`);
    const upserts = (count: number) => keys(count).map((key, data) => ({ operation: "upsert", key, data }));
    const deletes = (count: number) => keys(count).map((key) => ({ operation: "delete", key }));
    const send = (operations: object[]) => api.post("/state/transaction").send({ operations });
    await send(upserts(100)).expect(204);
    expect((await api.get("/state/alice~99").expect(200)).body).toBe(99);
    await send(upserts(101)).expect(400);
    await send(deletes(50)).expect(204);
    await api.get("/state/alice~49").expect(404);
    await send(deletes(51)).expect(400);
    await api.get("/state/alice~50").expect(200);
  });

  test("POST /state/bulk returns 100 keys and rejects 101", async () => {
    const keys = Array.from({ length: 101 }, (_, index) => `hundred${index}`);
    await api.put("/state/hundred99").send({ v: 99 }).expect(204);
    const { body } = await api
      .post("/state/bulk")
      .send({ keys: keys.slice(0, 100) })
      .expect(200);
    expect(body.map(({ key }: { key: string }) => key)).toEqual(keys.slice(0, 100));
    expect(body[99]).toMatchObject({ found: true, data: { v: 99 } });
    await api.post("/state/bulk").send({ keys }).expect(400);
  });

  test.each([
    { keys: ["cart", "orders"], named: "no partition" },
    { keys: ["cart"], named: "no partition" },
    { keys: ["~cart", "~orders"], named: "no partition" },
    { keys: ["alice~cart", "orders"], named: "alice, no partition" },
    { keys: ["alice~cart", "bob~cart"], named: "alice, bob" },
  ])("POST /state/transaction rejects $keys, which name no common partition, and changes nothing", async (example) => {
    const operations = example.keys.map((key) => ({ operation: "upsert", key: `${key}.partitions`, data: 1 }));
    const response = await api.post("/state/transaction").send({ operations }).expect(400);
    expect(response.body).toMatchObject({
      title: "The keys of a transaction must name one common partition",
      detail: `Name a partition before the first ~ of every key: alice~cart, alice~orders. These keys name ${example.named}.`,
    });
    for (const { key } of operations) await api.get(`/state/${key}`).expect(404);
  });

  test("POST /state/bulk finds keys with and without a named partition", async () => {
    await api.put("/state/bulk-own").send({ v: 1 }).expect(204);
    await api.put("/state/bulk~1").send({ v: 2 }).expect(204);
    await api.put("/state/bulk~2").send({ v: 3 }).expect(204);
    const { body } = await api.post("/state/bulk").send({ keys: ["bulk-own", "bulk~1", "bulk~2", "bulk-none"] });
    expect(body.map(({ data }: { data?: object }) => data)).toEqual([{ v: 1 }, { v: 2 }, { v: 3 }, undefined]);
  });

  test("300 concurrent writes and reads each get their own result", async () => {
    const keys = Array.from({ length: 300 }, (_, index) => `c${index}`);
    /** Repeats a 503 of Cosmos DB: on a busy machine, some of the writes take longer than they may there. */
    const write = async (key: string): Promise<number> => {
      const { status } = await api.put(`/state/${key}`).send({ of: key });
      return status === 503 && !batches ? write(key) : status;
    };
    expect(new Set(await Promise.all(keys.map(write)))).toEqual(new Set([204]));
    const reads = await Promise.all(keys.map((key) => api.get(`/state/${key}`)));
    expect(reads.map(({ body }) => body)).toEqual(keys.map((key) => ({ of: key })));
  });

  test("GET /readyz returns 200", async () => {
    await api.get("/readyz").expect(200, "ok");
  });

  test(`the adapter allows ${batches ? "" : "no "}batches`, async () => {
    expect(await store.batches(createCall())).toBe(batches);
  });
});

describe("requests to Cosmos DB", () => {
  let api: Agent;
  let container: Container;
  let close: () => Promise<void>;
  beforeAll(async () => {
    ({ api, container, close } = await openCosmos());
  });
  afterAll(() => close());
  const read = async (id: string, partition: string) => (await container.item(id, partition).read()).resource;
  /** Creates an entry as another application does. */
  const create = (key: string) => {
    const id = `state-api||${key}`;
    return container.items.create({ id, partitionKey: id, value: { from: key }, isBinary: false });
  };

  test("writes readable values and their ttl, in a partition for each key or in the partition that the key names", async () => {
    await api.post("/state").send({ key: "doc", data: { hello: "world", list: [1, null] }, ttlInSeconds: 60 });
    expect(await read("state-api||doc", "state-api||doc")).toMatchObject({
      id: "state-api||doc",
      value: { hello: "world", list: [1, null] },
      isBinary: false,
      partitionKey: "state-api||doc",
      ttl: 60,
    });
    await api.put("/state/alice~cart").set("Content-Type", "application/json").send('"text"');
    expect(await read("state-api||alice~cart", "alice")).toMatchObject({ value: "text", isBinary: false });
    await api.put("/state/~x").send({ v: 1 });
    expect(await read("state-api||~x", "state-api||~x")).toMatchObject({ value: { v: 1 } });
    const operations = [
      { operation: "upsert", key: "bob~1", data: [1] },
      { operation: "upsert", key: "bob~2", data: [2], ttlInSeconds: 60 },
    ];
    await api.post("/state/transaction").send({ operations }).expect(204);
    const lasting = await read("state-api||bob~1", "bob");
    expect(lasting).toMatchObject({ value: [1], partitionKey: "bob" });
    expect(lasting.ttl).toBeUndefined();
    expect(await read("state-api||bob~2", "bob")).toMatchObject({ value: [2], partitionKey: "bob", ttl: 60 });
  });

  test("reads, replaces and deletes documents of any application that uses Dapr's default partition", async () => {
    await Promise.all(["theirs", "theirs-too"].map(create));
    expect((await api.get("/state/theirs").expect(200)).body).toEqual({ from: "theirs" });
    const { body } = await api.post("/state/bulk").send({ keys: ["theirs", "theirs-too"] });
    expect(body.map(({ data }: { data: unknown }) => data)).toEqual([{ from: "theirs" }, { from: "theirs-too" }]);
    const { etag = "" } = (await api.get("/state/theirs")).headers;
    await api.put("/state/theirs").set("If-Match", etag).send({ from: "us" }).expect(204);
    expect(await read("state-api||theirs", "state-api||theirs")).toMatchObject({ value: { from: "us" } });
    await api.delete("/state/theirs").expect(204);
    expect(await read("state-api||theirs", "state-api||theirs")).toBeUndefined();
  });

  // Strong itself would fail: an account with Session consistency rejects it with 400.
  test.each([
    ["strong", "Session"],
    ["eventual", "Eventual"],
    [undefined, undefined],
  ])("a save with consistency %s requests the level %s from Cosmos DB", async (consistency, level) => {
    const before = cosmos.requests.length;
    await api.post("/state").send({ key: "consistency", data: 1, consistency }).expect(200);
    const writes = cosmos.requests.slice(before).filter(({ method }) => method === "POST");
    expect(writes.map((each) => each.consistencyLevel)).toEqual([level]);
  });

  test("50 concurrent reads are 50 point reads, not a query over all partitions", async () => {
    const keys = Array.from({ length: 50 }, (_, index) => `point${index}`);
    // Not through state-api: 50 writes at once can take longer on a busy machine than a write to Cosmos DB may.
    await Promise.all(keys.map(create));
    const before = cosmos.requests.length;
    await Promise.all(keys.map((key) => api.get(`/state/${key}`).expect(200)));
    const reads = cosmos.requests.slice(before);
    expect(reads).toHaveLength(50);
    expect(new Set(reads.map(({ method }) => method))).toEqual(new Set(["GET"]));
  });

  test("throttling beyond the component's retries returns 503 with the reason, and the next write succeeds", async () => {
    cosmos.throttleNext(4, 1); // the Go SDK sends a request up to four times
    const response = await api.put("/state/throttled").send({ v: 1 }).expect(503).expect("Retry-After", /\d+/);
    expect(response.body.title).toBe("Error writing to statestore: the store returned 429 Too Many Requests");
    await api.put("/state/throttled").send({ v: 2 }).expect(204);
  });

  test("daprd requests the account and what is in the container, so a data role on the container is enough", async () => {
    await api
      .post("/state/bulk")
      .send({ keys: ["a", "b"] })
      .expect(200);
    const paths = new Set(cosmos.requests.map(({ path }) => path.replace(/(?<=\/statestore)\/.*/, "")));
    expect([...paths].sort()).toEqual(["/", "/dbs/dapr-db/colls/statestore"]);
  });
});

/** What the original walkthrough wrote: bytes, by the Go SDK, under its app id, with Dapr's default partition. */
describe("data of the original walkthrough, with keyPrefix daprstate", () => {
  const folder = mkdtempSync(join(tmpdir(), "stores-test-"));
  let api: Agent;
  let container: Container;
  let close: () => Promise<void>;
  beforeAll(async () => {
    cpSync(join(root, "components/cosmos/sidecar-key"), folder, { recursive: true });
    const file = join(folder, "statestore.yaml");
    const prefix = "  metadata:\n    - name: keyPrefix\n      value: daprstate\n";
    writeFileSync(file, readFileSync(file, "utf8").replace("  metadata:\n", prefix));
    ({ api, container, close } = await openCosmos(folder));
  });
  // Whatever an earlier test made of them.
  beforeEach(async () => {
    const values = { text: "hello", json: '{"a":1}', "a~b": "text" };
    for (const [key, value] of Object.entries(values)) {
      const id = `daprstate||${key}`;
      const document = { id, partitionKey: id, value: Buffer.from(value).toString("base64"), isBinary: true };
      await container.items.upsert(document);
    }
  });
  afterAll(async () => {
    await close();
    rmSync(folder, { recursive: true });
  });

  test("a read returns text as a JSON string, and JSON as it is", async () => {
    expect((await api.get("/state/text").expect(200)).body).toBe("hello");
    expect((await api.get("/state/json").expect(200)).body).toEqual({ a: 1 });
  });

  test("a bulk read returns them, too, although Dapr's bulk response is empty when a value is not JSON", async () => {
    const { body } = await api
      .post("/state/bulk")
      .send({ keys: ["text", "none", "json"] })
      .expect(200);
    expect(body.map(({ data }: { data: unknown }) => data)).toEqual(["hello", undefined, { a: 1 }]);
  });

  test("a key with ~ is not found, because it was stored in a partition of its own", async () => {
    await api.get("/state/a~b").expect(404);
  });

  test("a write replaces the document", async () => {
    await api.put("/state/json").send({ a: 2 }).expect(204);
    const { resource } = await container.item("daprstate||json", "daprstate||json").read();
    expect(resource).toMatchObject({ value: { a: 2 }, isBinary: false });
  });

  test("PUT and DELETE with If-Match change the document with its ETag, and return 412 with an old one", async () => {
    const value = async () => (await container.item("daprstate||text", "daprstate||text").read()).resource?.value;
    const old = (await api.get("/state/text").expect(200)).headers.etag ?? "";
    await api.put("/state/text").set("If-Match", old).send({ a: 3 }).expect(204);
    expect(await value()).toEqual({ a: 3 });
    await api.put("/state/text").set("If-Match", old).send({ a: 4 }).expect(412);
    await api.delete("/state/text").set("If-Match", old).expect(412);
    expect(await value()).toEqual({ a: 3 });
    const current = (await api.get("/state/text").expect(200)).headers.etag ?? "";
    await api.delete("/state/text").set("If-Match", current).expect(204);
    expect(await value()).toBeUndefined();
    // The document that tells that there is a keyPrefix was deleted.
    const { resources } = await container.items.readAll().fetchAll();
    expect(resources.map(({ id }) => id).filter((id) => id?.includes("state-api.prefix"))).toEqual([]);
  });
});
