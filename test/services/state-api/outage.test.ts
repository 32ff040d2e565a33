import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type CosmosSimulator, startCosmosSimulator } from "../../simulators/cosmos/simulator.ts";
import { freeze } from "../../support/freeze.ts";
import { resiliencyResources, sqliteResources } from "../../support/processes.ts";
import { type Answer, type StateApiPair, startStateApi } from "../../support/state-api.ts";
import { measure } from "../../support/stopwatch.ts";

/** 2 s, and a margin for a busy machine. */
const SOON_MS = 2_500;
const UNKNOWN = "Retry. A write may still have succeeded.";

interface TimedAnswer extends Answer {
  readonly milliseconds: number;
}
type Sender = (pair: StateApiPair, key: string, etag: string) => Promise<Answer>;

const PUT: Sender = ({ send }, key) => send("PUT", `/state/${key}`, { body: "after" });
const plainWrites: Readonly<Record<string, Sender>> = {
  PUT,
  POST: ({ send }, key) => send("POST", "/state", { body: { key, data: "after" } }),
  DELETE: ({ send }, key) => send("DELETE", `/state/${key}`),
  transaction: ({ send }, key) =>
    send("POST", "/state/transaction", { body: { operations: [{ operation: "upsert", key, data: "after" }] } }),
};
/** The value of each entry is `before` when the write arrives. */
const writesWithETag: Readonly<Record<string, Sender>> = {
  "PUT with If-Match": ({ send }, key, etag) =>
    send("PUT", `/state/${key}`, { body: "after", headers: { "If-Match": etag } }),
  "POST with an etag": ({ send }, key, etag) =>
    send("POST", "/state", { body: { key, data: "after", etag: etag.slice(1, -1) } }),
  "DELETE with If-Match": ({ send }, key, etag) => send("DELETE", `/state/${key}`, { headers: { "If-Match": etag } }),
};
/** There is no entry when the write arrives. */
const creations: Readonly<Record<string, Sender>> = {
  "PUT with If-None-Match": ({ send }, key) =>
    send("PUT", `/state/${key}`, { body: "after", headers: { "If-None-Match": "*" } }),
  "POST with first-write": ({ send }, key) =>
    send("POST", "/state", { body: { key, data: "after", concurrency: "first-write" } }),
};
const reads: Readonly<Record<string, Sender>> = {
  GET: ({ send }, key) => send("GET", `/state/${key}`),
  bulk: ({ send }, key) => send("POST", "/state/bulk", { body: { keys: [key, "none"] } }),
};
const writes = { ...plainWrites, ...writesWithETag, ...creations };

let keysUsed = 0;
/** Creates the entry that a write of this kind expects, under a new key. */
async function prepare(pair: StateApiPair, kind: string): Promise<{ key: string; etag: string }> {
  const key = `outage-${keysUsed++}~`;
  if (kind in creations) return { key, etag: "" };
  const { status } = await pair.send("PUT", `/state/${key}`, { body: "before" });
  if (status !== 204) return prepare(pair, kind); // on a busy machine, a write can exceed its 500 ms
  return { key, etag: String((await pair.send("GET", `/state/${key}`)).headers.etag) };
}

/** Whether an entry changed. Fails if its contents are neither those before the write nor those after it. */
async function hasChanged({ send }: StateApiPair, kind: string, key: string): Promise<boolean> {
  const { status, text } = await send("GET", `/state/${key}`);
  if (status !== 200 && status !== 404) throw new Error(`the store is not back: ${status} ${text}`);
  const contents = status === 200 ? text : undefined;
  const before = kind in creations ? undefined : '"before"';
  const after = kind.startsWith("DELETE") ? undefined : '"after"';
  expect([before, after], `${kind}: ${contents}`).toContain(contents);
  return contents === after;
}

/** Sends one request of each kind at once, while `fault` makes the store fail. */
async function sendDuring(
  pair: StateApiPair,
  senders: Readonly<Record<string, Sender>>,
  fault: () => Promise<() => Promise<void> | void>,
): Promise<Map<string, TimedAnswer & { changed: () => Promise<boolean> }>> {
  const kinds = Object.entries(senders);
  const prepared = await Promise.all(kinds.map(([kind]) => prepare(pair, kind)));
  const repair = await fault();
  try {
    const answers = await Promise.all(
      kinds.map(async ([kind, sender], index) => {
        const { key, etag } = prepared[index] ?? expect.fail("nothing prepared");
        const sending = sender(pair, key, etag);
        const milliseconds = await measure(() => sending);
        return [kind, { ...(await sending), milliseconds, changed: () => hasChanged(pair, kind, key) }] as const;
      }),
    );
    return new Map(answers);
  } finally {
    await repair();
  }
}

/** Each answer is a 503 that arrived soon and says that a write may have succeeded. */
function expectUnknown(answers: ReadonlyMap<string, TimedAnswer>): void {
  for (const [kind, { status, text, headers, milliseconds }] of answers) {
    expect({ kind, status, text }).toMatchObject({ status: 503, text: expect.stringContaining(UNKNOWN) });
    expect(headers["retry-after"]).toBe("1");
    expect(milliseconds, kind).toBeLessThan(SOON_MS);
  }
}

/** Waits until writes succeed again: the circuit breaker may be open. */
async function recover(pair: StateApiPair): Promise<void> {
  const write = async () => (await pair.send("PUT", "/state/recovered", { body: 1 })).status;
  await expect.poll(write, { timeout: 10_000, interval: 100 }).toBe(204);
}

describe("the shipped resiliency policy over a SQLite file that another process locks", () => {
  const { folder, remove } = sqliteResources("shipped");
  let pair: StateApiPair;
  let database: DatabaseSync;
  beforeAll(async () => {
    pair = await startStateApi({ resources: [folder] });
    database = new DatabaseSync(join(folder, "state.db"), { timeout: 5_000 });
  });
  afterEach(() => recover(pair));
  afterAll(async () => {
    database.close();
    await pair.end();
    remove();
  });
  const lock = () => database.exec("BEGIN EXCLUSIVE");
  const unlock = () => database.exec("ROLLBACK");

  test("every write gets 503 within 2.5 s, and reads return the entries", async () => {
    const answers = await sendDuring(pair, { ...writes, ...reads }, async () => {
      lock();
      return unlock;
    });
    for (const kind of Object.keys(reads)) {
      expect(answers.get(kind)).toMatchObject({ status: 200, text: expect.stringContaining("before") });
      answers.delete(kind);
    }
    expectUnknown(answers);
  });

  /** A fault that locks the file for this long. */
  const lockFor = (milliseconds: number) => async () => {
    lock();
    const unlocked = sleep(milliseconds).then(unlock);
    return () => unlocked;
  };

  test("a PUT takes effect after its 503 when the lock ends", async () => {
    // Longer than an attempt, shorter than SQLite's own wait for the lock. After a pause of the machine, it may be 204.
    const during = () => sendDuring(pair, { PUT }, lockFor(1_000));
    let put = (await during()).get("PUT");
    while (put?.status === 204) put = (await during()).get("PUT");
    expect(put).toMatchObject({ status: 503, text: expect.stringContaining(UNKNOWN) });
    await expect.poll(() => put?.changed()).toBe(true);
  });

  test("every write gets 2xx and takes effect when the lock ends during the attempt", async () => {
    // On a busy machine, the attempt can end before a write is done: send another one of this kind.
    let remaining: Readonly<Record<string, Sender>> = writes;
    while (Object.keys(remaining).length > 0) {
      const answers = await sendDuring(pair, remaining, lockFor(200));
      for (const [kind, { status, text, changed }] of answers) {
        if (status === 503 && text.includes(UNKNOWN)) continue;
        expect([200, 201, 204], `${kind}: ${text}`).toContain(status);
        expect(await changed(), kind).toBe(true);
        answers.delete(kind);
      }
      remaining = Object.fromEntries(Object.entries(remaining).filter(([kind]) => answers.has(kind)));
      await recover(pair);
    }
  });
});

test("a SQLite file that is locked for longer than SQLite waits for it, without a timeout of Dapr, gets 503", async () => {
  const { folder, remove } = sqliteResources("patient");
  onTestFinished(remove);
  const pair = await startStateApi({ resources: [folder], env: { STATESTORE_TIMEOUT_MS: "20000" } });
  onTestFinished(() => pair.end());
  const database = new DatabaseSync(join(folder, "state.db"), { timeout: 5_000 });
  onTestFinished(() => database.close());
  const answers = await sendDuring(pair, writes, async () => {
    database.exec("BEGIN EXCLUSIVE");
    return () => database.exec("ROLLBACK");
  });
  for (const [kind, { status, text }] of answers) {
    expect({ kind, status, text }).toMatchObject({ status: 503, text: expect.stringContaining("database is locked") });
    expect(await answers.get(kind)?.changed(), kind).toBe(false);
  }
});

describe("the shipped resiliency policy over Cosmos DB", () => {
  const policy = resiliencyResources("shipped");
  let cosmos: CosmosSimulator;
  let pair: StateApiPair;
  beforeAll(async () => {
    cosmos = await startCosmosSimulator();
    cosmos.createContainer("dapr-db", "statestore");
    pair = await startStateApi({
      resources: ["components/cosmos/sidecar-key", policy.folder],
      sidecarEnv: { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key },
    });
  });
  afterEach(async () => {
    cosmos.latencyMs = 0;
    cosmos.before = () => {};
    cosmos.after = () => true;
    await recover(pair);
  });
  afterAll(async () => {
    await pair.end();
    await cosmos.close();
    policy.remove();
  });

  test("every request gets 503 within 2.5 s when the store takes 1.2 s", async () => {
    const answers = await sendDuring(pair, { ...writes, ...reads }, async () => {
      cosmos.latencyMs = 1_200;
      return () => {
        cosmos.latencyMs = 0;
      };
    });
    expectUnknown(answers);
  });

  const conditional = { ...writesWithETag, ...creations };
  test.each([
    {
      fault: "its response is late",
      respond: () => new Promise<boolean>((resolve) => setTimeout(resolve, 1_500, true)),
    },
    { fault: "the connection breaks before the response", respond: () => false },
    { fault: "the response is 408", respond: () => 408 as const },
    { fault: "the response is 503", respond: () => 503 as const },
  ])("every conditional write that took effect gets 503 when $fault", async ({ respond }) => {
    const written = new Set<string>();
    const fault = async () => {
      cosmos.after = ({ method, isQuery, partitionKey = "" }) => {
        // Only the first write of each key: a repeated one must get its response.
        if (method === "GET" || isQuery || written.has(partitionKey)) return true;
        written.add(partitionKey);
        return respond();
      };
      return () => {
        cosmos.after = () => true;
      };
    };
    // On a busy machine, the adapter can give up a write before it reaches the store: send another one of this kind.
    let remaining: Readonly<Record<string, Sender>> = conditional;
    while (Object.keys(remaining).length > 0) {
      const answers = await sendDuring(pair, remaining, fault);
      for (const [kind, { status, changed }] of answers) {
        if (await changed()) continue;
        expect(status, kind).toBe(503);
        answers.delete(kind);
      }
      expectUnknown(answers);
      remaining = Object.fromEntries(Object.entries(remaining).filter(([kind]) => !answers.has(kind)));
      await recover(pair);
    }
  });

  test.each([
    { fault: "its response is 408", response: 408 as const },
    { fault: "its connection breaks", response: false as const },
  ])("a write that took effect arrives once when $fault and the service is stopped meanwhile", async ({ response }) => {
    // A stopped service cannot end the write after its own 500 ms. The 600 ms of the policy must, before Dapr's
    // component repeats the write: 640 to 1,040 ms after the failure. It does not repeat one that gets 503.
    const { pid } = pair.service;
    const written: string[] = [];
    const stopped = new Promise<true>((resolve) => {
      cosmos.after = async ({ method, isQuery, partitionKey = "" }) => {
        if (method === "GET" || isQuery) return true;
        written.push(partitionKey);
        if (written.length > 1) return true;
        await freeze(pid);
        resolve(true);
        return response;
      };
    });
    const write = () => pair.send("PUT", `/state/outage-${keysUsed++}~`, { body: "after" });
    let writing = write();
    try {
      // On a busy machine, the adapter can give up a write before it reaches the store: send another one.
      while ((await Promise.race([stopped, writing])) !== true) writing = write();
      await sleep(3_000);
      expect(written).toEqual([...new Set(written)]);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await writing;
  });

  test("every request gets 503 within 2.5 s while the store is gone, and no write takes effect when it is back", async () => {
    const answers = await sendDuring(pair, { ...writes, ...reads }, async () => {
      cosmos.setReachable(false);
      return () => cosmos.setReachable(true);
    });
    expectUnknown(answers);
    await recover(pair);
    for (const [kind, { changed }] of answers) {
      if (!(kind in reads)) expect(await changed(), kind).toBe(false);
    }
  });
});
