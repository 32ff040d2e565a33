import { CosmosClient } from "@azure/cosmos";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { emulatorKey } from "../../simulators/cosmos/auth.ts";
import { resiliencyResources, run, sqliteResources } from "../../support/processes.ts";
import { type Answer, countStatuses, type StateApiPair, startStateApi } from "../../support/state-api.ts";

const local = sqliteResources();
const policy = resiliencyResources("patient");
let cosmosUrl: string;
let cosmos: ReturnType<typeof run>;
beforeAll(async () => {
  // A process of its own, so that a pause of this one does not delay the store. The latency is that of a request in one
  // region, so that requests of both processes of state-api overlap.
  const settings = { HOST: "127.0.0.1", PORT: "0", LATENCY_MS: "3" };
  cosmos = run(process.execPath, ["test/simulators/cosmos/server.ts"], settings);
  const readUrl = () => /http:\S+/.exec(cosmos.output())?.[0] ?? expect.fail("the simulator has not started");
  cosmosUrl = await vi.waitFor(readUrl, { timeout: 10_000 });
  const client = new CosmosClient({ endpoint: cosmosUrl, key: emulatorKey });
  const { database } = await client.databases.create({ id: "dapr-db" });
  await database.containers.create({ id: "statestore", partitionKey: "/partitionKey", defaultTtl: -1 });
  client.dispose();
});
afterAll(async () => {
  await cosmos.end();
  local.remove();
  policy.remove();
});

/** A timeout that a busy machine does not reach. */
const env = { STATESTORE_TIMEOUT_MS: "20000" };
/**
 * A write to Cosmos DB gets 503 (it may have succeeded) after half a second, which a pause of the machine can exceed.
 * `maxUnknown` is how many of 100 answers may be such a 503.
 */
const stores = [
  {
    store: "one SQLite file",
    maxUnknown: 0,
    start: () => startStateApi({ resources: [local.folder], env }),
  },
  {
    store: "one Cosmos DB container",
    maxUnknown: 9,
    start: () =>
      startStateApi({
        resources: ["components/cosmos/sidecar-key", policy.folder],
        sidecarEnv: { COSMOS_URL: cosmosUrl, COSMOS_KEY: emulatorKey },
        env,
      }),
  },
];

describe.each(stores)("two processes of state-api, each with its own sidecar, on $store", ({ start, maxUnknown }) => {
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
    const write = async () => (await pairFor(0).send("PUT", `/state/${key}`, { body })).status;
    await expect.poll(write, { timeout: 10_000 }).toBe(204);
    return String((await read(key)).headers.etag);
  };
  /** Sends 100 requests at once, 50 to each process. */
  const race = (send: (pair: StateApiPair, index: number) => Promise<Answer>) =>
    Promise.all(Array.from({ length: 100 }, (_, index) => send(pairFor(index), index)));
  const isUnknown = ({ status, text }: Answer) =>
    status === 503 && text.includes("Retry. A write may still have succeeded.");
  /** Only a few answers are unknown; returns how many of the others have each status. */
  const countKnown = (answers: readonly Answer[]) => {
    const unknown = answers.filter(isUnknown);
    expect(unknown.length).toBeLessThanOrEqual((answers.length * maxUnknown) / 100);
    return countStatuses(answers.filter((answer) => !isUnknown(answer)));
  };
  /** Returns the indexes of the answers that can be the winner's: one that says so, or else those that are unknown. */
  const winnersOf = (answers: readonly Answer[], won: number): number[] => {
    const { [won]: winners = 0, 412: losers = 0, ...others } = countKnown(answers);
    expect(others).toEqual({});
    expect(winners).toBeLessThanOrEqual(1);
    expect(losers).toBeGreaterThanOrEqual(99 - maxUnknown);
    const isWinner = winners === 1 ? ({ status }: Answer) => status === won : isUnknown;
    const candidates = [...answers.keys()].filter((index) => isWinner(answers[index] ?? expect.fail()));
    expect(candidates).not.toEqual([]);
    return candidates;
  };

  test("one of 100 creators of a key gets 201, and its value is stored", async () => {
    const headers = { "If-None-Match": "*" };
    const answers = await race((pair, body) => pair.send("PUT", "/state/create", { body, headers }));
    const winners = winnersOf(answers, 201);
    expect(winners).toContain(JSON.parse((await read("create")).text));
  });

  test("one of 100 writers with the same ETag gets 204, and its value is stored", async () => {
    const headers = { "If-Match": await create("replace") };
    const answers = await race((pair, body) => pair.send("PUT", "/state/replace", { body, headers }));
    const winners = winnersOf(answers, 204);
    expect(winners).toContain(JSON.parse((await read("replace")).text));
  });

  test("one of 100 deletes with the same ETag gets 204", async () => {
    const headers = { "If-Match": await create("delete") };
    winnersOf(await race((pair) => pair.send("DELETE", "/state/delete", { headers })), 204);
    expect((await read("delete")).status).toBe(404);
  });

  test("of a write and a delete with the same ETag, exactly one gets 204, and the store shows its effect", async () => {
    const answers: Answer[] = [];
    for (const round of Array.from({ length: 30 }).keys()) {
      const key = `write-or-delete-${round}`;
      const headers = { "If-Match": await create(key) };
      const [written, deleted] = await Promise.all([
        pairFor(round).send("PUT", `/state/${key}`, { body: "second", headers }),
        pairFor(round + 1).send("DELETE", `/state/${key}`, { headers }),
      ]);
      answers.push(written, deleted);
      if (isUnknown(written) && isUnknown(deleted)) continue;
      const { status, text } = await read(key);
      const [winner, loser] = status === 404 ? [deleted, written] : [written, deleted];
      if (status !== 404) expect({ status, text }).toEqual({ status: 200, text: '"second"' });
      if (!isUnknown(winner)) expect(winner.status).toBe(204);
      if (!isUnknown(loser)) expect(loser.status).toBe(412);
    }
    countKnown(answers);
  });

  test("a write with an ETag never brings back an entry that a concurrent delete removed", async () => {
    const keys = Array.from({ length: 50 }, (_, index) => `gone-${index}`);
    const etags = await Promise.all(keys.map((key) => create(key)));
    const writes = keys.map((key, index) =>
      pairFor(index).send("PUT", `/state/${key}`, { body: 2, headers: { "If-Match": etags[index] ?? "" } }),
    );
    const deletes = keys.map((key, index) => pairFor(index + 1).send("DELETE", `/state/${key}`));
    // Nor do many conflicts in a row open the circuit breaker of a sidecar, after which requests would get 503.
    const { 204: _, 412: __, ...others } = countKnown(await Promise.all(writes));
    expect(others).toEqual({});
    const deleted = await Promise.all(deletes);
    expect(countKnown(deleted)).toEqual({ 204: deleted.filter((answer) => !isUnknown(answer)).length });
    const gone = keys.filter((_key, index) => deleted[index]?.status === 204);
    expect(countStatuses(await Promise.all(gone.map(read)))).toEqual({ 404: gone.length });
  });

  test("transactions of both on the same five keys succeed and are all or nothing", async () => {
    const keys = ["a", "b", "c", "d", "e"].map((name) => `together~${name}`);
    const answers: Answer[] = [];
    for (const round of Array.from({ length: 10 }).keys()) {
      const send = (index: number) => {
        const isDelete = index % 3 === 2;
        const operations = keys.map((key) =>
          isDelete ? { operation: "delete", key } : { operation: "upsert", key, data: `${round}-${index}` },
        );
        return pairFor(index).send("POST", "/state/transaction", { body: { operations } });
      };
      answers.push(...(await Promise.all(Array.from({ length: 12 }, (_, index) => send(index)))));
      const contents = await Promise.all(keys.map(read));
      const values = new Set(contents.map(({ status, text }) => (status === 404 ? "missing" : text)));
      expect([...values]).toHaveLength(1);
    }
    expect(Object.keys(countKnown(answers))).toEqual(["204"]);
  });

  test("a transaction that deletes a key while the other process deletes it, too, applies its other operations", async () => {
    const all: Answer[] = [];
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
      all.push(...answers);
      const applied = written.filter((_key, side) => answers[side]?.status === 204);
      for (const key of applied) expect((await read(key)).status).toBe(200);
      if (applied.length > 0) expect((await read(doomed)).status).toBe(404);
    }
    expect(Object.keys(countKnown(all))).toEqual(["204"]);
  });
});
