// On SQLite, the whole API is linearizable for each key, and transactions for the keys of a partition: also reads that
// the service coalesces, because it sends a read after its request has come. Nothing promises that the reads of one
// POST /state/bulk see one moment, so each is judged by itself.
//
// One promise fails, because of the SQLite driver in Dapr 1.18.2 (modernc.org/sqlite 1.34.5, `stmt.query`). It does not
// close a read that is cancelled at the moment of its first row, and the connection goes on to serve that old state to
// later reads of the same sidecar. A sidecar cancels a read whose caller disconnects or that exceeds the timeout of
// resiliency.yaml. So these faults are excluded: the service killed without its sidecar, and a sidecar that is stopped
// for longer than that timeout.
import { join } from "node:path";
import { expect, test } from "vitest";
import { sqliteResources } from "../support/processes.ts";
import { sqliteFaults } from "./faults.ts";
import { startInstances } from "./instances.ts";
import { runScenario, seconds } from "./run.ts";

test.each([
  { count: 1, instances: "one instance" },
  { count: 2, instances: "two instances" },
])(
  "every history of $instances on a SQLite file is linearizable, with every fault that cancels no read",
  { timeout: seconds * 1_000 + 120_000 },
  async ({ count, instances: named }) => {
    const local = sqliteResources("shipped");
    const { instances, end } = await startInstances({ count, resources: [local.folder] });
    try {
      const { failures, faults, tooRare } = await runScenario({
        name: `SQLite, ${named}`,
        instances,
        mayCancelReads: false,
        storeFaults: (target) => sqliteFaults(target, join(local.folder, "state.db")),
      });
      expect(failures).toEqual([]);
      expect([...faults].filter(([, { hits }]) => hits === 0)).toEqual([]);
      expect(tooRare).toEqual([]);
    } finally {
      await end();
      local.remove();
    }
  },
);
