import { globSync, readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

/** Tests that need a sidecar or a browser, which take seconds and run the services in processes without mutants. */
const NEEDS_MORE = /startSidecar|support\/(suite|chromium|state-api)\.ts/;
/** Tests that take too long to run for every mutant. */
const slow = [
  "test/services/group-lister/process.test.ts",
  "test/services/state-api/abandoned.test.ts",
  "test/services/state-api/batching/many-keys.test.ts",
];

/** For mutate.ts: the unit and in-process tests of the services. */
export default defineConfig({
  test: {
    include: globSync("test/services/{dapr,group-lister,runtime,state-api,welcome}/**/*.test.ts").filter(
      (file) => !slow.includes(file) && !NEEDS_MORE.test(readFileSync(file, "utf8")),
    ),
    runner: "test/mutation/runner.ts",
    pool: "forks",
    fsModuleCache: false,
    maxWorkers: 1, // mutate.ts starts several Vitests
    testTimeout: 30_000,
    hookTimeout: 5_000,
    expect: { poll: { timeout: 10_000 } },
    reporters: [],
  },
});
