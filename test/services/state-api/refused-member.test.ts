import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pino } from "pino";
import { Registry } from "prom-client";
import request, { type Agent } from "supertest";
import { afterEach, describe, expect, test } from "vitest";
import { createApp } from "../../../services/state-api/app.ts";
import { coalesce } from "../../../services/state-api/batching/coalesce.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";
import { createDaprStore } from "../../../services/state-api/dapr-store.ts";
import type { BatchableStore, StateStore } from "../../../services/state-api/store.ts";
import { startCosmosSimulator } from "../../simulators/cosmos/simulator.ts";
import { patientTimeouts } from "../../support/dapr-store.ts";
import { resiliencyResources, sqliteResources, startSidecar } from "../../support/processes.ts";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

const neighbours = Array.from({ length: 20 }, (_, index) => `n${index}`);
const together = neighbours.toSpliced(10, 0, "refused");

/** Holds the writes until all of `together` have arrived, and passes them on in that order. */
function gather(store: StateStore): StateStore {
  const arrived = new Map<string, () => void>();
  return {
    ...store,
    async save(write, call) {
      await new Promise<void>((resolve) => {
        arrived.set(write.key, resolve);
        if (arrived.size === together.length) for (const key of together) arrived.get(key)?.();
      });
      return store.save(write, call);
    },
  };
}

/** Serves the API in this process over a real sidecar, and records the keys of each batch of writes. */
async function serveOver(
  resources: string[],
  env: Record<string, string> = {},
  arrange = (store: StateStore) => store,
): Promise<{ api: Agent; batches: string[][] }> {
  const sidecar = await startSidecar({ resources, env });
  const config = readStateApiConfig({ STATESTORE_TIMEOUT_MS: "20000", MAX_BODY_BYTES: "4194304" }, []);
  const daprStore = createDaprStore({ origin: sidecar.origin, storeName: "statestore", ...patientTimeouts });
  cleanUp.push(sidecar.end, daprStore.close);
  const batches: string[][] = [];
  const recording: BatchableStore = {
    ...daprStore,
    saveMany(writes, call) {
      batches.push(writes.map(({ key }) => key));
      return daprStore.saveMany(writes, call);
    },
  };
  const app = createApp({
    store: arrange(coalesce(recording, { maxPending: 1_000 })),
    config,
    log: pino({ level: "silent" }),
    register: new Registry(),
    ready: daprStore.ready,
  });
  await expect.poll(() => daprStore.ready().then(() => "ready", String)).toBe("ready");
  return { api: request.agent(app), batches };
}

/** Saves all neighbours and, in their middle, a member that the store refuses; expects each to be saved once. */
async function saveTogether(api: Agent, refused: unknown): Promise<void> {
  const etags = new Map<string, string>();
  const etagOf = async (key: string) => String((await api.get(`/state/${key}`).expect(200)).headers.etag);
  const save = async (key: string) => {
    await api.put(`/state/${key}`).send({ of: key }).expect(204);
    etags.set(key, await etagOf(key));
  };
  const refuse = async () => {
    const { body } = await api.put("/state/refused").send({ refused }).expect(500);
    expect(body.type).toBe("urn:problem:store-refused");
  };
  await Promise.all(together.map((key) => (key === "refused" ? refuse() : save(key))));
  for (const key of neighbours) {
    expect((await api.get(`/state/${key}`).expect(200)).body).toEqual({ of: key });
    expect(await etagOf(key)).toBe(etags.get(key));
  }
  await api.get("/state/refused").expect(404);
}

describe("a store that refuses one of 21 writes that arrive together", () => {
  test("SQLite: 19 of the others are in one batch with it, and all others are applied once", async () => {
    const { folder, remove } = sqliteResources();
    cleanUp.push(remove);
    const { api, batches } = await serveOver([folder], {}, gather);
    const database = new DatabaseSync(join(folder, "state.db"), { timeout: 5_000 });
    cleanUp.push(() => database.close());
    database.exec(`CREATE TABLE applied (key TEXT);
      CREATE TRIGGER writes AFTER INSERT ON state BEGIN INSERT INTO applied VALUES (NEW.key); END;
      CREATE TRIGGER refusal BEFORE INSERT ON state WHEN NEW.key = 'state-api||refused'
        BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END;`);
    await saveTogether(api, 1);
    expect(batches).toEqual([together.slice(1)]); // the first finds the store idle, and is not batched
    const applied = database.prepare("SELECT key FROM applied ORDER BY key").all();
    expect(applied.map(({ key }) => key)).toEqual(neighbours.map((key) => `state-api||${key}`).sort());
  });

  test("Cosmos DB: the writes are not batched, and each of the others is applied once", async () => {
    const cosmos = await startCosmosSimulator();
    cosmos.createContainer("dapr-db", "statestore");
    const policy = resiliencyResources("patient");
    cleanUp.push(cosmos.close, policy.remove);
    const env = { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key };
    const { api, batches } = await serveOver(["components/cosmos/sidecar-key", policy.folder], env);
    await saveTogether(api, "x".repeat(2_200_000)); // an item has at most 2 MB
    expect(batches).toEqual([]);
    const writes = cosmos.requests.filter(({ method }) => method === "POST");
    expect(writes.filter(({ status }) => status === 201)).toHaveLength(20);
    expect(writes.filter(({ status }) => status !== 201).map(({ status }) => status)).toEqual([413]);
  });
});
