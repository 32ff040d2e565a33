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
 * With more than `maxUnknown` percent of such answers, a round is repeated.
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
  const isUnknown = ({ status, text }: Answer) =>
    status === 503 && text.includes("Retry. A write may still have succeeded.");
  /** Whether the entry met the condition of a write until another process changed it. */
  const wasOvertaken = ({ status, text }: Answer) =>
    status === 412 && text.includes("another request changed the entry first");
  /** The statuses of the answers that are known. */
  const known = (answers: readonly Answer[]) =>
    answers.filter((answer) => !isUnknown(answer)).map(({ status }) => status);
  /** Whether enough answers are known. Fails if one is unknown although no pause of the machine explains it. */
  const areKnown = (answers: readonly Answer[]): boolean => {
    const unknown = answers.filter(isUnknown);
    if (maxUnknown === 0) expect(unknown).toEqual([]);
    return unknown.length <= (answers.length * maxUnknown) / 100;
  };
  /** Runs a scenario until so many of its rounds were decided: their answers were known. */
  const repeat = async (times: number, isDecided: (round: number) => Promise<boolean>): Promise<void> => {
    for (let round = 0, decided = 0; decided < times; round++) if (await isDecided(round)) decided++;
  };
  let created = 0;
  /** Creates an entry. Each attempt has a key of its own, because an unknown one could still change the entry. */
  const create = async (name: string): Promise<{ key: string; headers: { "If-Match": string } }> => {
    for (;;) {
      const key = `${name}-${created++}`;
      const answer = await pairFor(0).send("PUT", `/state/${key}`, { body: "first" });
      if (!areKnown([answer])) continue;
      expect(answer.status).toBe(204);
      return { key, headers: { "If-Match": String((await read(key)).headers.etag) } };
    }
  };
  /**
   * Sends 100 requests at once, 50 to each process: one gets the status `won`, the others 412. Returns the index of the
   * winner, or undefined while too few answers are known.
   */
  const race = async (
    won: number,
    send: (pair: StateApiPair, index: number) => Promise<Answer>,
  ): Promise<number | undefined> => {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => send(pairFor(index), index)));
    expect(known(answers).filter((status) => status !== won && status !== 412)).toEqual([]);
    const winners = [...answers.keys()].filter((index) => answers[index]?.status === won);
    expect(winners.length).toBeLessThanOrEqual(1);
    if (!answers.some(isUnknown)) expect(winners).toHaveLength(1);
    return areKnown(answers) ? winners[0] : undefined;
  };

  // Each process lets the changes of a key wait for each other, so only the first ones of both meet: five rounds.
  test("one of 100 creators of a key gets 201, and its value is stored", async () => {
    await repeat(5, async (round) => {
      const key = `create-${round}`;
      const headers = { "If-None-Match": "*" };
      const winner = await race(201, (pair, body) => pair.send("PUT", `/state/${key}`, { body, headers }));
      if (winner !== undefined) expect((await read(key)).text).toBe(`${winner}`);
      return winner !== undefined;
    });
  });

  test("one of 100 writers with the same ETag gets 204, and its value is stored", async () => {
    await repeat(5, async () => {
      const { key, headers } = await create("replace");
      const winner = await race(204, (pair, body) => pair.send("PUT", `/state/${key}`, { body, headers }));
      if (winner !== undefined) expect((await read(key)).text).toBe(`${winner}`);
      return winner !== undefined;
    });
  });

  test("one of 100 deletes with the same ETag gets 204", async () => {
    await repeat(5, async () => {
      const { key, headers } = await create("delete");
      const winner = await race(204, (pair) => pair.send("DELETE", `/state/${key}`, { headers }));
      if (winner !== undefined) expect((await read(key)).status).toBe(404);
      return winner !== undefined;
    });
  });

  test("of a write and a delete with the same ETag, exactly one gets 204, and the store shows its effect", async () => {
    await repeat(30, async (round) => {
      const { key, headers } = await create("write-or-delete");
      const [written, deleted] = await Promise.all([
        pairFor(round).send("PUT", `/state/${key}`, { body: "second", headers }),
        pairFor(round + 1).send("DELETE", `/state/${key}`, { headers }),
      ]);
      if (!areKnown([written, deleted])) return false;
      const { status, text } = await read(key);
      const [winner, loser] = status === 404 ? [deleted, written] : [written, deleted];
      if (status !== 404) expect({ status, text }).toEqual({ status: 200, text: '"second"' });
      expect([winner.status, loser.status]).toEqual([204, 412]);
      return true;
    });
  });

  test("a write with an ETag never brings back an entry that a concurrent delete removed", async () => {
    await repeat(1, async () => {
      const entries = await Promise.all(Array.from({ length: 50 }, () => create("gone")));
      const writes = entries.map(({ key, headers }, index) =>
        pairFor(index).send("PUT", `/state/${key}`, { body: 2, headers }),
      );
      const deletes = entries.map(({ key }, index) => pairFor(index + 1).send("DELETE", `/state/${key}`));
      const written = await Promise.all(writes);
      expect(known(written).filter((status) => status !== 204 && status !== 412)).toEqual([]);
      const deleted = await Promise.all(deletes);
      expect(known(deleted).filter((status) => status !== 204)).toEqual([]);
      const gone = entries.filter((_entry, index) => deleted[index]?.status === 204);
      expect(countStatuses(await Promise.all(gone.map(({ key }) => read(key))))).toEqual({ 404: gone.length });
      // Some deletes came after a write, and some between its read of the entry and its change of it.
      const isDecided = written.some(({ status }) => status === 204) && written.some(wasOvertaken);
      return isDecided && areKnown(written) && areKnown(deleted);
    });
  });

  test("transactions of both on the same five keys succeed and are all or nothing", async () => {
    await repeat(10, async (round) => {
      const keys = ["a", "b", "c", "d", "e"].map((name) => `together-${round}~${name}`);
      const send = (index: number) => {
        const isDelete = index % 3 === 2;
        const operations = keys.map((key) =>
          isDelete ? { operation: "delete", key } : { operation: "upsert", key, data: `${round}-${index}` },
        );
        return pairFor(index).send("POST", "/state/transaction", { body: { operations } });
      };
      const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => send(index)));
      expect(known(answers).filter((status) => status !== 204)).toEqual([]);
      if (!areKnown(answers)) return false; // one could still change the keys between the reads
      const contents = await Promise.all(keys.map(read));
      const values = new Set(contents.map(({ status, text }) => (status === 404 ? "missing" : text)));
      expect([...values]).toHaveLength(1);
      return true;
    });
  });

  test("a transaction that deletes a key while the other process deletes it, too, applies its other operations", async () => {
    await repeat(20, async (round) => {
      const { key: doomed } = await create("doomed~");
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
      expect(known(answers).filter((status) => status !== 204)).toEqual([]);
      const applied = written.filter((_key, side) => answers[side]?.status === 204);
      for (const key of applied) expect((await read(key)).status).toBe(200);
      if (applied.length > 0) expect((await read(doomed)).status).toBe(404);
      return areKnown(answers);
    });
  });
});
