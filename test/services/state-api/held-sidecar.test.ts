import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freeze } from "../../support/freeze.ts";
import { sqliteResources } from "../../support/processes.ts";
import { type SentRequest, type StateApiPair, sendAll, startStateApi } from "../../support/state-api.ts";

/** Connections of the service to its sidecar (services/dapr/client.ts). */
const CONNECTIONS = 64;

// Requests that their callers abandon while the sidecar is held by SIGSTOP. A trigger records what the store applies.
describe("work that its caller no longer waits for", () => {
  let folder: string;
  let remove: () => void;
  let pair: StateApiPair;
  let database: DatabaseSync;

  async function start(env: Record<string, string>): Promise<void> {
    pair = await startStateApi({ resources: [folder], env });
    database = new DatabaseSync(join(folder, "state.db"), { timeout: 5_000 });
    database.exec(`CREATE TABLE applied (change TEXT, key TEXT, value TEXT);
      CREATE TRIGGER writes AFTER INSERT ON state
        BEGIN INSERT INTO applied VALUES ('write', NEW.key, NEW.value); END;
      CREATE TRIGGER deletes AFTER DELETE ON state
        BEGIN INSERT INTO applied VALUES ('delete', OLD.key, NULL); END;`);
  }
  beforeEach(() => {
    ({ folder, remove } = sqliteResources());
  });
  afterEach(() => {
    database.close();
    remove();
  });

  /** Lets the sidecar run on, waits until service and sidecar have ended in order, and returns what was applied. */
  async function release(): Promise<{ change: string; key: string; value: string | null }[]> {
    process.kill(pair.sidecar.pid, "SIGCONT");
    const marker = async () => (await pair.send("PUT", "/state/marker", { body: 1 })).status;
    await expect.poll(marker, { timeout: 10_000 }).toBe(204);
    await pair.end();
    const rows = database.prepare("SELECT change, key, value FROM applied WHERE key <> 'state-api||marker'").all();
    return rows.map(({ change, key, value }) => ({
      change: String(change),
      key: String(key),
      value: value === null ? null : String(value),
    }));
  }

  const hangUp = async (requests: readonly SentRequest[]): Promise<void> => {
    const left = async () =>
      /^http_request_duration_seconds_count\{.*route="\/state\/:key",status="499"\} (\d+)$/m.exec(
        (await pair.send("GET", "/metrics")).text,
      )?.[1];
    for (const request of requests) request.hangUp();
    await expect.poll(left).toBe(`${requests.length}`);
  };
  const paths = (count: number) => Array.from({ length: count }, (_, index) => `/state/k${index}`);

  test("writes that time out behind another write to their key are never sent", async () => {
    await start({ STATESTORE_TIMEOUT_MS: "4000" }); // long enough for all to arrive
    await freeze(pair.sidecar.pid);
    const write = (body: unknown) => ({ method: "PUT", path: "/state/k", body }) as const;
    // At once: a write that arrives much later could still wait for the first one when its time is over.
    const sent = await sendAll(
      pair.service.origin,
      Array.from({ length: 20 }, (_, body) => write(body)),
    );
    for (const { status } of sent) expect(await status).toBe(503);
    // Not even one, when the sidecar notices before the first write that the service has closed its connection.
    expect((await release()).length).toBeLessThanOrEqual(1);
  });

  test("writes whose callers hang up behind another write to their key are never sent", async () => {
    await start({ STATESTORE_TIMEOUT_MS: "20000" });
    await freeze(pair.sidecar.pid);
    const writes = Array.from({ length: 20 }, (_, body) => ({ method: "PUT", path: "/state/k", body }) as const);
    await hangUp(await sendAll(pair.service.origin, writes));
    const applied = await release();
    expect(applied).toEqual([{ change: "write", key: "state-api||k", value: expect.any(String) }]);
  });

  test(`deletes whose callers hang up while ${CONNECTIONS} others have all connections are never sent`, async () => {
    await start({ STATESTORE_TIMEOUT_MS: "20000" });
    for (const path of paths(100)) await pair.send("PUT", path, { body: 1 });
    await freeze(pair.sidecar.pid);
    const deletes = paths(100).map((path) => ({ method: "DELETE", path }) as const);
    await hangUp(await sendAll(pair.service.origin, deletes));
    const deleted = (await release()).filter(({ change }) => change === "delete");
    expect(deleted).toHaveLength(CONNECTIONS);
  });
});
