import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CosmosSimulator, startCosmosSimulator } from "../../simulators/cosmos/simulator.ts";
import { resiliencyResources, sqliteResources } from "../../support/processes.ts";
import { type Answer, countStatuses, type StateApiPair, startStateApi } from "../../support/state-api.ts";

const local = sqliteResources();
const policy = resiliencyResources("patient");
let cosmos: CosmosSimulator;
beforeAll(async () => {
  cosmos = await startCosmosSimulator();
  cosmos.createContainer("dapr-db", "statestore");
  cosmos.latencyMs = 3; // as long as a request in one region, so that requests of both processes overlap
});
afterAll(async () => {
  await cosmos.close();
  local.remove();
  policy.remove();
});

/** Timeouts that a busy machine does not reach. */
const env = { STATESTORE_TIMEOUT_MS: "20000" };
const stores = [
  { store: "one SQLite file", start: () => startStateApi({ resources: [local.folder], env }) },
  {
    store: "one Cosmos DB container",
    start: () =>
      startStateApi({
        resources: ["components/cosmos/sidecar-key", policy.folder],
        sidecarEnv: { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key },
        env,
      }),
  },
];

describe.each(stores)("two processes of state-api, each with its own sidecar, on $store", ({ start }) => {
  let pairs: readonly StateApiPair[];
  beforeAll(async () => {
    pairs = [await start(), await start()];
  });
  afterAll(async () => {
    await Promise.all(pairs.map((pair) => pair.end()));
  });

  /** The process that a request with this number uses. */
  const pairFor = (index: number): StateApiPair => pairs[index % 2] ?? expect.fail("a process is missing");
  const read = (key: string) => pairFor(0).send("GET", `/state/${key}`);
  const create = async (key: string, body: unknown = "first"): Promise<string> => {
    expect((await pairFor(0).send("PUT", `/state/${key}`, { body })).status).toBe(204);
    return String((await read(key)).headers.etag);
  };
  /** Sends 100 requests at once, 50 to each process. */
  const race = (send: (pair: StateApiPair, index: number) => Promise<Answer>) =>
    Promise.all(Array.from({ length: 100 }, (_, index) => send(pairFor(index), index)));
  const expectOneWinner = (answers: readonly Answer[], won: number) =>
    expect(countStatuses(answers)).toEqual({ [won]: 1, 412: 99 });

  test("one of 100 creators of a key gets 201, and its value is stored", async () => {
    const headers = { "If-None-Match": "*" };
    const answers = await race((pair, body) => pair.send("PUT", "/state/create", { body, headers }));
    expectOneWinner(answers, 201);
    expect((await read("create")).text).toBe(`${answers.findIndex(({ status }) => status === 201)}`);
  });

  test("one of 100 writers with the same ETag gets 204, and its value is stored", async () => {
    const headers = { "If-Match": await create("replace") };
    const answers = await race((pair, body) => pair.send("PUT", "/state/replace", { body, headers }));
    expectOneWinner(answers, 204);
    expect((await read("replace")).text).toBe(`${answers.findIndex(({ status }) => status === 204)}`);
  });

  test("one of 100 deletes with the same ETag gets 204", async () => {
    const headers = { "If-Match": await create("delete") };
    expectOneWinner(await race((pair) => pair.send("DELETE", "/state/delete", { headers })), 204);
    expect((await read("delete")).status).toBe(404);
  });

  test("of a write and a delete with the same ETag, exactly one gets 204, and the store shows its effect", async () => {
    for (const round of Array.from({ length: 30 }).keys()) {
      const key = `write-or-delete-${round}`;
      const headers = { "If-Match": await create(key) };
      const [written, deleted] = await Promise.all([
        pairFor(round).send("PUT", `/state/${key}`, { body: "second", headers }),
        pairFor(round + 1).send("DELETE", `/state/${key}`, { headers }),
      ]);
      const { status, text } = await read(key);
      const outcome = { written: written.status === 204, deleted: deleted.status === 204, status, text };
      expect([
        { written: true, deleted: false, status: 200, text: '"second"' },
        { written: false, deleted: true, status: 404, text: expect.any(String) },
      ]).toContainEqual(outcome);
    }
  });

  test("a write with an ETag never brings back an entry that a concurrent delete removed", async () => {
    const keys = Array.from({ length: 50 }, (_, index) => `gone-${index}`);
    const etags = await Promise.all(keys.map((key) => create(key)));
    const writes = keys.map((key, index) =>
      pairFor(index).send("PUT", `/state/${key}`, { body: 2, headers: { "If-Match": etags[index] ?? "" } }),
    );
    const deletes = keys.map((key, index) => pairFor(index + 1).send("DELETE", `/state/${key}`));
    // Nor do many conflicts in a row open the circuit breaker of a sidecar, after which requests would get 503.
    const { 204: _, 412: __, ...others } = countStatuses(await Promise.all(writes));
    expect(others).toEqual({});
    expect(countStatuses(await Promise.all(deletes))).toEqual({ 204: 50 });
    expect(countStatuses(await Promise.all(keys.map(read)))).toEqual({ 404: 50 });
  });

  test("transactions of both on the same five keys succeed and are all or nothing", async () => {
    const keys = ["a", "b", "c", "d", "e"].map((name) => `together~${name}`);
    for (const round of Array.from({ length: 10 }).keys()) {
      const send = (index: number) => {
        const isDelete = index % 3 === 2;
        const operations = keys.map((key) =>
          isDelete ? { operation: "delete", key } : { operation: "upsert", key, data: `${round}-${index}` },
        );
        return pairFor(index).send("POST", "/state/transaction", { body: { operations } });
      };
      const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => send(index)));
      expect(countStatuses(answers)).toEqual({ 204: 12 });
      const contents = await Promise.all(keys.map(read));
      const values = new Set(contents.map(({ status, text }) => (status === 404 ? "missing" : text)));
      expect([...values]).toHaveLength(1);
    }
  });

  test("a transaction that deletes a key while the other process deletes it, too, applies its other operations", async () => {
    for (const round of Array.from({ length: 20 }).keys()) {
      const doomed = `doomed~${round}`;
      await create(doomed);
      const written = [0, 1].map((side) => `doomed~${round}-${side}`);
      const answers = await Promise.all(
        written.map((key, side) =>
          pairFor(side).send("POST", "/state/transaction", {
            body: {
              operations: [
                { operation: "upsert", key, data: side },
                { operation: "delete", key: doomed },
              ],
            },
          }),
        ),
      );
      expect(countStatuses(answers)).toEqual({ 204: 2 });
      expect(countStatuses(await Promise.all(written.map(read)))).toEqual({ 200: 2 });
      expect((await read(doomed)).status).toBe(404);
    }
  });
});
