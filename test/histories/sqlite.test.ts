// On SQLite, the whole API is linearizable for each key, and transactions for the keys of a partition: also reads that
// the service coalesces, because it sends a read after its request has come. Nothing promises that the reads of one
// POST /state/bulk see one moment, so each is judged by itself.
//
// This holds only while no read is cancelled, because of the SQLite driver in Dapr 1.18.2 (modernc.org/sqlite 1.34.5,
// `stmt.query`). It does not close a read that is cancelled just before its first row. The connection goes on to serve
// that old state to later reads of the same sidecar, and its writes fail ("database is locked (517)") once another
// connection has written. A sidecar cancels a read whose caller disconnects or that exceeds the timeout of
// resiliency.yaml. So two scenarios leave out the faults that can cancel a read (the service killed without its
// sidecar, the service stopped, the sidecar stopped for longer than that timeout) and check the whole promise. A third
// one has every fault, and cancelled reads besides, and checks a weaker promise:
// - Writes, successful conditions and transactions are linearizable.
// - A read returns a value that was written, of any age: a connection can serve old state until its sidecar restarts.
// - A rejected write changes nothing. Its condition did not certainly hold in every state until the response: state-api
//   reads the ETag before it checks a condition, and that read may be old, too.
// - After a restart of all sidecars, reads return what acknowledged writes left.
//
// The last test shows the driver's fault. It fails when a new Dapr has a driver without it. Then delete it and
// cancelled-reads.ts, `mayCancelReads`, `beforeFinalReads` and the third scenario, let the others have every fault, and
// correct the README and docs/verification.md.
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { sqliteResources, startSidecar } from "../support/processes.ts";
import { cancelRead, readAt, saveAt } from "./cancelled-reads.ts";
import { sqliteFaults } from "./faults.ts";
import { startInstances } from "./instances.ts";
import { runScenario, seconds } from "./run.ts";

const timeout = seconds * 1_000 + 120_000;

test.each([
  { count: 1, instances: "one instance" },
  { count: 2, instances: "two instances" },
])(
  "every history of $instances on a SQLite file is linearizable, with every fault that cancels no read",
  { timeout },
  async ({ count, instances }) => {
    await checkHistories({ name: `SQLite, ${instances}`, count, mayCancelReads: false });
  },
);

test("every history of two instances on a SQLite file, with every fault, is linearizable but for reads and rejections, \
which may be old until the sidecars restart", { timeout }, async () => {
  await checkHistories({ name: "SQLite, two instances, every fault", count: 2, mayCancelReads: true });
});

/** Longer than any run, in microseconds. */
const FOREVER = Number.MAX_SAFE_INTEGER;

async function checkHistories(options: { name: string; count: number; mayCancelReads: boolean }): Promise<void> {
  const { name, count, mayCancelReads } = options;
  const local = sqliteResources("shipped");
  const { instances, end, restartSidecars } = await startInstances({ count, resources: [local.folder] });
  try {
    const { failures, faults, tooRare } = await runScenario({
      name,
      instances,
      mayCancelReads,
      ...(mayCancelReads ? { lag: FOREVER, beforeFinalReads: restartSidecars } : {}),
      storeFaults: (target) => sqliteFaults(target, join(local.folder, "state.db")),
    });
    expect(failures).toEqual([]);
    expect([...faults].filter(([, { hits }]) => hits === 0)).toEqual([]);
    expect(tooRare).toEqual([]);
  } finally {
    await end();
    local.remove();
  }
}

test("daprd 1.18.2 can return an old value after a cancelled read, until it restarts", async () => {
  const local = sqliteResources();
  onTestFinished(local.remove);
  const start = async () => {
    const sidecar = await startSidecar({ resources: [local.folder], config: "components/local/config.yaml" });
    onTestFinished(async () => void (await sidecar.end("SIGKILL")));
    return sidecar;
  };
  const reader = await start();
  const writer = await start(); // a connection's own writes end its old state
  let saved = 0;
  let seen = 0;
  const save = async (value: number) => expect(await saveAt(writer, "k", value)).toBe(true);
  await save(saved);
  const deadline = performance.now() + 20_000;
  while (!(seen < saved) && performance.now() < deadline) {
    await cancelRead(reader, "k", Math.random);
    await save(++saved);
    seen = await readAt(reader, "k");
  }
  expect(seen).toBeLessThan(saved);
  await reader.end();
  const restarted = await reader.restart();
  onTestFinished(async () => void (await restarted.end()));
  expect(await readAt(restarted, "k")).toBe(saved);
});
