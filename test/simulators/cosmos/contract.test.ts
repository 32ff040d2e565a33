// Tests the behaviour that Dapr and @azure/cosmos rely on, through the official client, against two servers: our
// simulator, which must pass every test, and Vercel's, as a second opinion on the part that it implements. A third
// opinion is test/histories/azcosmos.test.ts. Comments name the public sources of what Vercel's server lacks.
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import {
  type Container,
  CosmosClient,
  type CosmosClientOptions,
  ErrorResponse,
  type OperationInput,
} from "@azure/cosmos";
import { createHttpServer } from "@vercel/cosmosdb-server";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { spawn } from "../../../tools/processes/spawn.ts";
import { signToken, tenant } from "../../support/tenant.ts";
import { emulatorKey } from "./auth.ts";
import { type CosmosSimulator, type CosmosSimulatorOptions, startCosmosSimulator } from "./simulator.ts";

interface Server {
  endpoint: string;
  close(): Promise<void>;
}

interface Implementation {
  name: string;
  start(): Promise<Server>;
  /** Behaviours that are missing or wrong. */
  lacks: readonly string[];
}

const implementations: readonly Implementation[] = [
  {
    name: "our simulator",
    lacks: [],
    async start() {
      const { url: endpoint, close } = await startCosmosSimulator();
      return { endpoint, close };
    },
  },
  {
    name: "@vercel/cosmosdb-server",
    lacks: [
      // It does not distinguish an empty partition key from a null one.
      "an empty, a null and a missing partition key are three partitions",
      // Its ETags have no quotes.
      "each write changes the quoted ETag",
      // It returns 200 with the document.
      "a read with the document's ETag in If-None-Match returns 304",
      // It ignores the partition key of a query.
      "a query can be limited to one partition",
      // It has no batches and returns 500.
      "a batch runs all its operations in order",
      "in a batch, an operation sees what the ones before it have done to the same document",
      "a batch with one failing operation changes nothing and returns 207",
      // Its responses have no session token.
      "a write increments the session token",
      // This suite omits features that Vercel's server lacks or does not check: TTL, authorization, consistency levels,
      // throttling, size limits, endpoint discovery. "our simulator alone", below, tests them.
    ],
    async start() {
      const server = createHttpServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("not listening on a port");
      return {
        endpoint: `http://127.0.0.1:${address.port}/`,
        async close() {
          const closed = once(server, "close");
          server.close();
          server.closeAllConnections();
          await closed;
        },
      };
    },
  },
];

describe.each(implementations)("$name", ({ start, lacks }) => {
  let server: Server;
  let client: CosmosClient;
  let container: Container;

  beforeAll(async () => {
    server = await start();
    client = connect(server.endpoint);
  });
  beforeEach(async () => {
    const { database } = await client.databases.create({ id: `db-${crypto.randomUUID()}` });
    ({ container } = await database.containers.create({
      id: "statestore",
      partitionKey: "/partitionKey",
      defaultTtl: -1,
    }));
  });
  afterAll(async () => {
    client.dispose();
    await server.close();
  });

  function contract(behaviour: string, check: () => Promise<void>): void {
    test.skipIf(lacks.includes(behaviour))(behaviour, check);
  }

  contract("a missing database returns 404, and creating an existing one returns 409", async () => {
    expect(await status(client.database("nowhere").read())).toBe(404);
    expect(await status(client.databases.create({ id: container.database.id }))).toBe(409);
  });

  contract("a container keeps its partition key path and its TTL", async () => {
    const { resource } = await container.read();
    expect(resource).toMatchObject({ id: "statestore", defaultTtl: -1, partitionKey: { paths: ["/partitionKey"] } });
  });

  contract("a container's TTL can be replaced, its partition key path cannot", async () => {
    const changed = await container.replace({
      id: "statestore",
      partitionKey: { paths: ["/partitionKey"] },
      defaultTtl: 60,
    });
    expect(changed.resource?.defaultTtl).toBe(60);
    expect((await container.read()).resource?.defaultTtl).toBe(60);
    expect(await status(container.replace({ id: "statestore", partitionKey: { paths: ["/id"] } }))).toBe(400);
  });

  contract("databases and containers are listed and deleted", async () => {
    const { database } = container;
    expect((await client.databases.readAll().fetchAll()).resources.map(({ id }) => id)).toContain(database.id);
    expect((await database.containers.readAll().fetchAll()).resources.map(({ id }) => id)).toEqual(["statestore"]);
    await container.delete();
    expect(await status(container.read())).toBe(404);
    await database.delete();
    expect(await status(database.read())).toBe(404);
  });

  contract("a document comes back as it was written, with Cosmos DB's own properties", async () => {
    const { resource } = await container.items.create({
      id: "app||key",
      partitionKey: "app||key",
      value: { deep: ["é", 1] },
    });
    expect(resource).toMatchObject({ id: "app||key", partitionKey: "app||key", value: { deep: ["é", 1] } });
    expect(resource).toMatchObject({ _rid: expect.any(String), _self: expect.any(String), _ts: expect.any(Number) });
    expect((await container.item("app||key", "app||key").read()).resource).toEqual(resource);
  });

  contract("reading, replacing and deleting a missing document return 404", async () => {
    const item = container.item("nothing", "nothing");
    expect((await item.read()).statusCode).toBe(404);
    expect(await status(item.replace({ id: "nothing", partitionKey: "nothing" }))).toBe(404);
    expect(await status(item.delete())).toBe(404);
  });

  contract("creating an existing id returns 409, upserting replaces it", async () => {
    await container.items.create({ id: "a", partitionKey: "p", value: 1 });
    expect(await status(container.items.create({ id: "a", partitionKey: "p", value: 2 }))).toBe(409);
    expect((await container.items.upsert({ id: "a", partitionKey: "p", value: 3 })).statusCode).toBe(200);
    expect((await container.items.upsert({ id: "b", partitionKey: "p", value: 1 })).statusCode).toBe(201);
    expect((await container.item("a", "p").read()).resource).toMatchObject({ value: 3 });
  });

  contract("two partitions can hold the same id", async () => {
    await container.items.create({ id: "a", partitionKey: "left", value: 1 });
    await container.items.create({ id: "a", partitionKey: "right", value: 2 });
    expect((await container.item("a", "left").read()).resource).toMatchObject({ value: 1 });
    expect((await container.item("a", "right").read()).resource).toMatchObject({ value: 2 });
  });

  // azcosmos, TestItemCRUDforNullPartitionKey, has the null partition key; no source tells the other two apart.
  contract("an empty, a null and a missing partition key are three partitions", async () => {
    await container.items.create({ id: "a", partitionKey: "" });
    await container.items.create({ id: "a", partitionKey: null });
    await container.items.create({ id: "a" });
    expect((await container.items.readAll().fetchAll()).resources).toHaveLength(3);
  });

  contract("a partition key other than the document's returns 400", async () => {
    await container.items.create({ id: "a", partitionKey: "p" });
    expect(await status(container.item("a", "p").replace({ id: "a", partitionKey: "other" }))).toBe(400);
  });

  contract("a document without an id returns 400", async () => {
    const options = { disableAutomaticIdGeneration: true };
    expect(await status(container.items.create({ partitionKey: "p" }, options))).toBe(400);
  });

  // https://learn.microsoft.com/rest/api/cosmos-db/documents, _etag; its examples have the quotes.
  contract("each write changes the quoted ETag", async () => {
    const first = await container.items.upsert({ id: "a", partitionKey: "p" });
    const second = await container.items.upsert({ id: "a", partitionKey: "p" });
    expect(first.etag).toMatch(/^".+"$/);
    expect(second.etag).not.toBe(first.etag);
    expect((await container.item("a", "p").read()).etag).toBe(second.etag);
  });

  contract("replace with an old ETag returns 412 and keeps the value", async () => {
    const { etag } = await container.items.create({ id: "a", partitionKey: "p", value: 1 });
    const item = container.item("a", "p");
    expect((await item.replace({ id: "a", partitionKey: "p", value: 2 }, ifMatch(etag))).statusCode).toBe(200);
    expect(await status(item.replace({ id: "a", partitionKey: "p", value: 3 }, ifMatch(etag)))).toBe(412);
    expect((await item.read()).resource).toMatchObject({ value: 2 });
  });

  contract("upsert with an old ETag returns 412 and keeps the value", async () => {
    const { etag } = await container.items.create({ id: "a", partitionKey: "p", value: 1 });
    await container.items.upsert({ id: "a", partitionKey: "p", value: 2 }, ifMatch(etag));
    expect(await status(container.items.upsert({ id: "a", partitionKey: "p", value: 3 }, ifMatch(etag)))).toBe(412);
    expect((await container.item("a", "p").read()).resource).toMatchObject({ value: 2 });
  });

  // https://github.com/Azure/azure-cosmos-dotnet-v3/issues/1698, and the documentation of IfMatchEtag in the SDKs
  // (azure-sdk-for-java#43717): "Create semantics when the document doesn't exist".
  contract("upsert with an ETag inserts a missing document", async () => {
    expect((await container.items.upsert({ id: "a", partitionKey: "p" }, ifMatch('"any"'))).statusCode).toBe(201);
  });

  contract("delete with an old ETag returns 412 and keeps the document", async () => {
    const { etag } = await container.items.create({ id: "a", partitionKey: "p" });
    expect(await status(container.item("a", "p").delete(ifMatch('"old"')))).toBe(412);
    expect((await container.item("a", "p").delete(ifMatch(etag))).statusCode).toBe(204);
    expect((await container.item("a", "p").read()).statusCode).toBe(404);
  });

  // https://learn.microsoft.com/rest/api/cosmos-db/get-a-document, status codes: 304
  contract("a read with the document's ETag in If-None-Match returns 304", async () => {
    const { etag } = await container.items.create({ id: "a", partitionKey: "p" });
    const condition = { accessCondition: { type: "IfNoneMatch", condition: etag } };
    expect((await container.item("a", "p").read(condition)).statusCode).toBe(304);
  });

  contract("Dapr's bulk get finds ids in all partitions", async () => {
    for (const id of ["a", "b", "c"]) await container.items.create({ id, partitionKey: id });
    const query = "SELECT * FROM r WHERE ARRAY_CONTAINS(@keys, r.id)";
    const parameters = [{ name: "@keys", value: ["a", "c", "nothing"] }];
    expect(await ids(container.items.query({ query, parameters }))).toEqual(["a", "c"]);
  });

  contract("a query by property finds its documents in all partitions", async () => {
    await container.items.create({ id: "a", partitionKey: "left" });
    await container.items.create({ id: "a", partitionKey: "right" });
    await container.items.create({ id: "b", partitionKey: "right" });
    const byId = { query: "SELECT * FROM c WHERE c.id = @id", parameters: [{ name: "@id", value: "a" }] };
    expect(await ids(container.items.query(byId))).toEqual(["a", "a"]);
  });

  contract("a query counts the documents of all partitions", async () => {
    for (const id of ["a", "b", "c"]) await container.items.create({ id, partitionKey: id });
    expect((await container.items.query("SELECT VALUE COUNT(1) FROM c").fetchAll()).resources).toEqual([3]);
  });

  // azcosmos, TestSinglePartitionQuery, has the documents; no source has the count.
  contract("a query can be limited to one partition", async () => {
    await container.items.create({ id: "a", partitionKey: "left" });
    await container.items.create({ id: "b", partitionKey: "right" });
    const inLeft = { partitionKey: "left" };
    expect(await ids(container.items.query("SELECT * FROM c", inLeft))).toEqual(["a"]);
    expect((await container.items.query("SELECT VALUE COUNT(1) FROM c", inLeft).fetchAll()).resources).toEqual([1]);
  });

  contract("a continuation token returns the next page of a feed", async () => {
    for (const id of ["a", "b", "c"]) await container.items.create({ id, partitionKey: id });
    const first = await container.items.query("SELECT * FROM c", { maxItemCount: 2 }).fetchNext();
    expect(first.resources).toHaveLength(2);
    const { continuationToken } = first;
    const second = await container.items.query("SELECT * FROM c", { maxItemCount: 2, continuationToken }).fetchNext();
    expect([...first.resources, ...second.resources].map(({ id }) => id).sort()).toEqual(["a", "b", "c"]);
    expect(second.continuationToken).toBeUndefined();
    expect(await ids(container.items.readAll({ maxItemCount: 2 }))).toEqual(["a", "b", "c"]);
  });

  contract("a feed skips nothing when a client deletes each page before it reads the next", async () => {
    for (const id of ["a", "b", "c", "d"]) await container.items.create({ id, partitionKey: id });
    const feed = container.items.query("SELECT * FROM c", { maxItemCount: 2 });
    while (feed.hasMoreResults()) {
      for (const { id } of (await feed.fetchNext()).resources) await container.item(id, id).delete();
    }
    expect(await ids(container.items.readAll())).toEqual([]);
  });

  contract("a batch runs all its operations in order", async () => {
    await container.items.create({ id: "old", partitionKey: "p", value: 1 });
    const response = await container.items.batch(
      [
        { operationType: "Create", resourceBody: { id: "new", partitionKey: "p" } },
        { operationType: "Upsert", resourceBody: { id: "new", partitionKey: "p", value: 2 } },
        { operationType: "Read", id: "new" },
        { operationType: "Replace", id: "old", resourceBody: { id: "old", partitionKey: "p", value: 3 } },
        { operationType: "Delete", id: "old" },
      ],
      "p",
    );
    expect(response.code).toBe(200);
    expect(response.result?.map(({ statusCode }) => statusCode)).toEqual([201, 200, 200, 200, 204]);
    expect(response.result?.[2]).toMatchObject({ resourceBody: { value: 2 }, eTag: expect.stringMatching(/^".+"$/) });
    expect(await ids(container.items.readAll())).toEqual(["new"]);
  });

  // Of these pairs, Microsoft's own tests have only a create and a patch of one document: BatchCreateAndPatchAsync in
  // azure-cosmos-dotnet-v3, BatchSinglePartitionKeyTests.cs.
  contract("in a batch, an operation sees what the ones before it have done to the same document", async () => {
    const { etag } = await container.items.create({ id: "a", partitionKey: "p", value: 1 });
    const batch = (...operations: OperationInput[]) => container.items.batch(operations, "p");
    const upsert = (id: string, value: number): OperationInput => ({
      operationType: "Upsert",
      resourceBody: { id, partitionKey: "p", value },
    });
    const removeOld = { operationType: "Delete" as const, id: "a", ifMatch: etag };
    const replaced = await batch(removeOld, upsert("a", 2));
    expect(replaced.result?.map(({ statusCode }) => statusCode)).toEqual([204, 201]);
    expect((await batch(removeOld, upsert("a", 3))).result?.map(({ statusCode }) => statusCode)).toEqual([412, 424]);
    expect((await container.item("a", "p").read()).resource).toMatchObject({ value: 2 });
    const removed = await batch(upsert("absent", 0), { operationType: "Delete", id: "absent" });
    expect(removed.result?.map(({ statusCode }) => statusCode)).toEqual([201, 204]);
    expect(await ids(container.items.readAll())).toEqual(["a"]);
  });

  // Microsoft runs each case but the stale upsert and the stale delete against the emulator: azure-cosmos-dotnet-v3,
  // BatchSinglePartitionKeyTests.cs. The status 424:
  // https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
  contract("a batch with one failing operation changes nothing and returns 207", async () => {
    await container.items.create({ id: "kept", partitionKey: "p", value: 1 });
    const before = await container.item("kept", "p").read();
    const first: OperationInput = { operationType: "Upsert", resourceBody: { id: "new", partitionKey: "p" } };
    const last: OperationInput = { operationType: "Delete", id: "kept" };
    // The client's types lack the ifMatch of a delete, which Dapr sends.
    const deleteOld = { operationType: "Delete" as const, id: "kept", ifMatch: '"old"' };
    const failures: [number, OperationInput][] = [
      [400, { operationType: "Upsert", resourceBody: { id: "a", partitionKey: "another" } }],
      [404, { operationType: "Delete", id: "nothing" }],
      [404, { operationType: "Read", id: "nothing" }],
      [409, { operationType: "Create", resourceBody: { id: "kept", partitionKey: "p" } }],
      [412, { operationType: "Upsert", ifMatch: '"old"', resourceBody: { id: "kept", partitionKey: "p" } }],
      [
        412,
        { operationType: "Replace", id: "kept", ifMatch: '"old"', resourceBody: { id: "kept", partitionKey: "p" } },
      ],
      [412, deleteOld],
    ];
    for (const [expected, failing] of failures) {
      const { code, result } = await container.items.batch([first, failing, last], "p");
      expect(code).toBe(207);
      expect(result?.map(({ statusCode }) => statusCode)).toEqual([424, expected, 424]);
    }
    expect((await container.items.readAll().fetchAll()).resources).toEqual([before.resource]);
  });

  contract("a response has a charge and an activity id", async () => {
    const { requestCharge, activityId } = await container.items.create({ id: "a", partitionKey: "p" });
    expect(Number(requestCharge)).toBeGreaterThan(0);
    expect(activityId).toMatch(/^[0-9a-f-]{36}$/);
  });

  // https://learn.microsoft.com/rest/api/cosmos-db/common-cosmosdb-rest-response-headers, x-ms-session-token. That
  // batches have one, too: azure-cosmos-dotnet-v3, BatchErrorSessionTokenTestAsync.
  contract("a write increments the session token", async () => {
    const first = await container.items.create({ id: "a", partitionKey: "p" });
    const second = await container.items.create({ id: "b", partitionKey: "p" });
    expect(lsn(second.headers)).toBeGreaterThan(lsn(first.headers));
  });
});

describe("our simulator alone", () => {
  const started: CosmosSimulator[] = [];
  const clients: CosmosClient[] = [];
  let clock = Date.now();

  afterEach(async () => {
    for (const client of clients.splice(0)) client.dispose();
    await Promise.all(started.splice(0).map((cosmos) => cosmos.close()));
  });

  async function start(options: CosmosSimulatorOptions = {}): Promise<CosmosSimulator> {
    const cosmos = await startCosmosSimulator({ now: () => clock, tenant, ...options });
    cosmos.createContainer("dapr-db", "statestore");
    started.push(cosmos);
    return cosmos;
  }

  function open(options: CosmosClientOptions, database = "dapr-db"): Container {
    const client = new CosmosClient(options);
    clients.push(client);
    return client.database(database).container("statestore");
  }

  function withKey({ url: endpoint, key }: CosmosSimulator, options: Partial<CosmosClientOptions> = {}): Container {
    return open({ endpoint, key, ...options });
  }

  function withToken({ url: endpoint }: CosmosSimulator, token = signToken("someone")): Container {
    // Not aadCredentials, because the client sends those only over https.
    return open({ endpoint, tokenProvider: async () => `type=aad&ver=1.0&sig=${token}` });
  }

  test("serves the location that its account names", async () => {
    const cosmos = await start();
    await withKey(cosmos).read();
    expect(cosmos.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "GET /",
      "GET /dbs/dapr-db/colls/statestore",
    ]);
  });

  test("hides an expired document from reads, queries, deletes and upserts", async () => {
    const container = withKey(await start());
    const { etag } = await container.items.create({ id: "a", partitionKey: "p", ttl: 10 });
    await container.items.create({ id: "b", partitionKey: "p" });
    clock += 9_000;
    expect((await container.item("a", "p").read()).statusCode).toBe(200);
    clock += 1_000;
    expect((await container.item("a", "p").read()).statusCode).toBe(404);
    expect(await ids(container.items.readAll())).toEqual(["b"]);
    expect(await status(container.item("a", "p").delete())).toBe(404);
    expect((await container.items.upsert({ id: "a", partitionKey: "p" }, ifMatch(etag))).statusCode).toBe(201);
  });

  // https://learn.microsoft.com/azure/cosmos-db/time-to-live, examples 1 to 3
  test("applies the container's TTL to documents without one, and keeps those with -1", async () => {
    const container = withKey(await start());
    await container.replace({ id: "statestore", partitionKey: { paths: ["/partitionKey"] }, defaultTtl: 5 });
    await container.items.create({ id: "a", partitionKey: "p" });
    await container.items.create({ id: "b", partitionKey: "p", ttl: -1 });
    clock += 5_000;
    expect(await ids(container.items.readAll())).toEqual(["b"]);
  });

  test("ignores a document's ttl when the container's TTL is off", async () => {
    const container = withKey(await start());
    await container.replace({ id: "statestore", partitionKey: { paths: ["/partitionKey"] } });
    await container.items.create({ id: "a", partitionKey: "p", ttl: 1 });
    clock += 60_000;
    expect((await container.item("a", "p").read()).statusCode).toBe(200);
  });

  // https://learn.microsoft.com/azure/cosmos-db/time-to-live: "nonzero positive integer less than or equal to
  // 2147483647, or -1"; null is not supported.
  test.each([
    [-1, 201],
    [1, 201],
    [2_147_483_647, 201],
    [0, 400],
    [-2, 400],
    [0.5, 400],
    [2_147_483_648, 400],
    [null, 400],
    ["10", 400],
  ])("for a document with the ttl %j returns %i", async (ttl, wanted) => {
    const document: object = { id: "a", partitionKey: "p", ttl };
    expect(await status(withKey(await start()).items.create(document))).toBe(wanted);
  });

  test("returns 401 for a wrong key and for a missing one", async () => {
    const cosmos = await start();
    const key = Buffer.from("another").toString("base64");
    await expect(withKey(cosmos, { key }).read()).rejects.toMatchObject({ code: 401, body: { code: "Unauthorized" } });
    expect((await fetch(cosmos.url)).status).toBe(401);
  });

  test("returns 403 for a signature that is more than 15 minutes old", async () => {
    const cosmos = await start({ now: () => Date.now() + 16 * 60_000 });
    await expect(withKey(cosmos).read()).rejects.toMatchObject({ code: 403, body: { code: "Forbidden" } });
  });

  test("returns 401 for the right key when keys are off, with Cosmos DB's message", async () => {
    const cosmos = await start({ disableLocalAuth: true });
    const message = expect.stringContaining("Local Authorization is disabled");
    await expect(withKey(cosmos).read()).rejects.toMatchObject({ code: 401, substatus: 5202, message });
    expect((await withToken(cosmos).read()).statusCode).toBe(200);
  });

  test("returns 403 that names a principal without the data role", async () => {
    const cosmos = await start({ roleAssignments: [{ principal: "somebody else", scope: "/" }] });
    const message = expect.stringContaining("principal [someone] does not have required RBAC permissions");
    await expect(withToken(cosmos).read()).rejects.toMatchObject({ code: 403, substatus: 5301, message });
    expect((await withToken(cosmos, signToken("somebody else")).read()).statusCode).toBe(200);
  });

  test.each([
    ["/", [200, 200, 200, 200, 404]],
    ["/dbs/dapr-db", [200, 403, 200, 200, 404]],
    ["/dbs/dapr-db/colls/statestore", [200, 403, 403, 200, 404]],
    ["/dbs/dapr-db/colls/another", [200, 403, 403, 403, 403]],
    ["/dbs/dapr-db/colls/state", [200, 403, 403, 403, 403]],
  ])(
    "lets the data role on %s read the account and what is in its scope, and nothing above it",
    async (scope, wanted) => {
      const container = withToken(await start({ roleAssignments: [{ principal: "someone", scope }] }));
      const { database } = container;
      const responses = [
        database.client.getDatabaseAccount(),
        database.client.databases.readAll().fetchAll(),
        database.read(),
        container.read(),
        container.item("a", "p").read(),
      ];
      const statuses = responses.map((response) =>
        response.then(
          (success) => ("statusCode" in success ? success.statusCode : 200),
          (error) => error.code,
        ),
      );
      expect(await Promise.all(statuses)).toEqual(wanted);
    },
  );

  // https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens
  test.each(["https://cosmos.azure.com", "https://127.0.0.1", "https://127.0.0.1:443/"])(
    "accepts a token whose audience is %s",
    async (aud) => {
      expect((await withToken(await start(), signToken("someone", { aud })).read()).statusCode).toBe(200);
    },
  );

  const hour = 3_600;
  test.each([
    ["is no JWT", 5003, () => "secret"],
    ["has no signature", 5004, () => unsign(signToken("someone"))],
    ["has the signature of another token", 5004, () => unsign(signToken("other")) + signToken("someone").split(".")[2]],
    ["another key signed under the id of the tenant's", 5004, () => signWithForeignKey({ kid: tenant.keys[0]?.kid })],
    ["has a key id that the tenant does not publish", 5004, () => signWithForeignKey({ kid: "another" })],
    ["belongs to another tenant", 5007, () => signToken("someone", { tid: "another" })],
    ["has another issuer", 5007, () => signToken("someone", { iss: "https://sts.windows.net/another/" })],
    ["has another audience", 5008, () => signToken("someone", { aud: "https://management.azure.com" })],
    ["has another account's name as audience", 5008, () => signToken("someone", { aud: "https://127.0.0.2" })],
    ["is valid from an hour ahead", 5005, () => signToken("someone", { nbf: clock / 1000 + hour })],
    ["expired a second ago", 5006, () => signToken("someone", { exp: clock / 1000 - 1 })],
    ["names no principal", 5011, () => signToken("someone", { oid: undefined })],
  ])("returns 401 for a token that %s", async (_name, substatus, createToken) => {
    await expect(withToken(await start(), createToken()).read()).rejects.toMatchObject({ code: 401, substatus });
  });

  test("returns 401 for every token when it has no tenant", async () => {
    const cosmos = await startCosmosSimulator();
    started.push(cosmos);
    await expect(withToken(cosmos).read()).rejects.toMatchObject({ code: 401, substatus: 5002 });
  });

  test("lets a token create a document but no container", async () => {
    const container = withToken(await start());
    expect((await container.items.create({ id: "a", partitionKey: "p" })).statusCode).toBe(201);
    const create = container.database.containers.create({ id: "more", partitionKey: "/partitionKey" });
    await expect(create).rejects.toMatchObject({ code: 403, substatus: 5300 });
  });

  // "400 is also returned when the consistent level for a GET operation is overridden by a stronger consistency":
  // https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
  test("returns 400 for a consistency level stronger than the account's", async () => {
    const cosmos = await start({ consistency: "Session" });
    const message = expect.stringContaining("ConsistencyLevel Strong specified in the request is invalid");
    const strong = withKey(cosmos, { consistencyLevel: "Strong" });
    await expect(strong.items.create({ id: "a", partitionKey: "p" })).rejects.toMatchObject({ code: 400, message });
    const eventual = withKey(cosmos, { consistencyLevel: "Eventual" });
    expect((await eventual.items.create({ id: "a", partitionKey: "p" })).statusCode).toBe(201);
    expect(cosmos.requests.at(-1)).toMatchObject({ consistencyLevel: "Eventual", partitionKey: '["p"]', status: 201 });
  });

  test("receives its session token back from a client with session consistency", async () => {
    const cosmos = await start();
    const container = withKey(cosmos, { consistencyLevel: "Session" });
    const { headers } = await container.items.create({ id: "a", partitionKey: "p" });
    await container.item("a", "p").read();
    expect(cosmos.requests.at(-1)?.sessionToken).toBe(headers["x-ms-session-token"]);
  });

  test("returns 429 as often as a test requests, and the client retries after the given time", async () => {
    const cosmos = await start();
    const container = withKey(cosmos);
    await container.read();
    cosmos.throttleNext(2, 20);
    const begin = performance.now();
    expect((await container.item("a", "p").read()).statusCode).toBe(404);
    expect(performance.now() - begin).toBeGreaterThan(38);
    expect(cosmos.requests.slice(-3).map((request) => request.status)).toEqual([429, 429, 404]);
  });

  // 429 with substatus 3200: azure-cosmos-dotnet-v3, BatchRateLimitingAsync. The client reads x-ms-retry-after-ms.
  test("passes 429 on to a caller whose client does not retry", async () => {
    const cosmos = await start();
    const container = withKey(cosmos, { connectionPolicy: { retryOptions: { maxRetryAttemptCount: 0 } } });
    cosmos.throttleNext(1, 20);
    const error = { code: 429, substatus: 3200, retryAfterInMs: 20 };
    await expect(container.item("a", "p").delete()).rejects.toMatchObject(error);
  });

  test("returns 503 or delays responses when a test requests it", async () => {
    const cosmos = await start();
    const container = withKey(cosmos);
    await container.read();
    cosmos.failNext(1);
    expect(await status(container.item("a", "p").delete())).toBe(503);
    cosmos.latencyMs = 30;
    const begin = performance.now();
    await container.item("a", "p").read();
    expect(performance.now() - begin).toBeGreaterThan(28);
  });

  // "The allowable maximum document size is 2 MB":
  // https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
  test("returns 413 for more than 2 MB", async () => {
    const container = withKey(await start());
    const value = "x".repeat(2 * 1024 * 1024);
    expect(await status(container.items.create({ id: "a", partitionKey: "p", value }))).toBe(413);
  });

  // azure-cosmos-dotnet-v3, BatchWithTooManyOperationsAsync
  test("returns 400 for a batch of more than 100 operations", async () => {
    const operations = Array.from({ length: 101 }, (_, i) => ({ operationType: "Delete", id: String(i) }));
    const headers = { "x-ms-cosmos-is-batch-request": "True", "x-ms-cosmos-batch-atomic": "True" };
    expect((await send(await start(), { body: JSON.stringify(operations), headers })).status).toBe(400);
  });

  test("returns 400 for malformed JSON and for a partition key without a value", async () => {
    const cosmos = await start();
    const malformed = await send(cosmos, { body: "{" });
    expect(malformed.status).toBe(400);
    expect(await malformed.json()).toMatchObject({ code: "BadRequest", message: expect.stringContaining("payload") });
    const lost = await send(cosmos, { body: '{"id":"a"}', headers: { "x-ms-documentdb-partitionkey": "[]" } });
    expect(lost.status).toBe(400);
  });

  test("returns 404 in the shape of Cosmos DB for an unknown route", async () => {
    const response = await send(await start(), { path: "dbs/dapr-db/colls/statestore/docs/a/attachments", body: "{}" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "NotFound", message: expect.any(String) });
  });

  test("returns 400 that names the cause for a query that it does not support", async () => {
    const query = withKey(await start()).items.query("SELECT TOP 1 * FROM c ORDER BY c.id");
    const message = expect.stringContaining("does not support this query");
    await expect(query.fetchAll()).rejects.toMatchObject({ code: 400, message });
  });

  test("runs as a process with the emulator's key, and exits with 0 on SIGTERM", async () => {
    const child = spawn(process.execPath, ["test/simulators/cosmos/server.ts"], { env: { ...process.env, PORT: "0" } });
    const [line] = await once(createInterface(child.stdout), "line");
    const endpoint = /http:\S+/.exec(String(line))?.[0] ?? "";
    const client = connect(endpoint);
    expect((await client.databases.create({ id: "dapr-db" })).statusCode).toBe(201);
    client.dispose();
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  /** Sends a request that the official client cannot send. */
  function send(
    { url }: CosmosSimulator,
    {
      path = "dbs/dapr-db/colls/statestore/docs",
      body,
      headers,
    }: { path?: string; body: string; headers?: Record<string, string> },
  ): Promise<Response> {
    return fetch(url + path, {
      method: "POST",
      body,
      headers: {
        authorization: `type=aad&ver=1.0&sig=${signToken("someone")}`,
        "x-ms-documentdb-partitionkey": '["p"]',
        ...headers,
      },
    });
  }
});

function connect(endpoint: string, key = emulatorKey): CosmosClient {
  // Vercel's server names an https location that it does not serve.
  return new CosmosClient({ endpoint, key, connectionPolicy: { enableEndpointDiscovery: false } });
}

/** The token without its signature, with the dot that precedes it. */
function unsign(token: string): string {
  return token.slice(0, token.lastIndexOf(".") + 1);
}

/** A token whose claims are right and whose key is not the tenant's. */
function signWithForeignKey(header: { kid: string | undefined }): string {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const [, claims] = signToken("someone").split(".");
  const content = `${Buffer.from(JSON.stringify({ alg: "RS256", ...header })).toString("base64url")}.${claims}`;
  return `${content}.${sign("sha256", Buffer.from(content), privateKey).toString("base64url")}`;
}

/** Returns the status of a response or of its error. */
async function status(response: Promise<{ statusCode?: number }>): Promise<number | undefined> {
  try {
    return (await response).statusCode;
  } catch (error) {
    if (error instanceof ErrorResponse && typeof error.code === "number") return error.code;
    throw error;
  }
}

async function ids(feed: { fetchAll(): Promise<{ resources: { id?: string }[] }> }): Promise<(string | undefined)[]> {
  return (await feed.fetchAll()).resources.map(({ id }) => id).sort();
}

function ifMatch(condition: string) {
  return { accessCondition: { type: "IfMatch", condition } };
}

function lsn(headers: Record<string, unknown>): number {
  return Number(String(headers["x-ms-session-token"]).split("#")[1]);
}
