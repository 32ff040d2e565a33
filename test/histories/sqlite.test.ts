import { expect, test } from "vitest";
import { sqliteFaults } from "./faults.ts";
import { createSqliteStore, startInstances } from "./instances.ts";
import { runScenario, seconds } from "./run.ts";

test.each([1, 2])(
  "every history of %i instance(s) on one SQLite file is linearizable, whatever fails",
  { timeout: seconds * 1_000 + 120_000 },
  async (count) => {
    const store = createSqliteStore();
    const { instances, end } = await startInstances({ count, resources: [store.resources] });
    try {
      const { failures, faults } = await runScenario({
        name: `SQLite, ${count} instance(s)`,
        instances,
        storeFaults: (target) => sqliteFaults(target, store.file),
      });
      expect(failures).toEqual([]);
      expect([...faults].filter(([, { hits }]) => hits === 0)).toEqual([]);
    } finally {
      await end();
      store.remove();
    }
  },
);
