import { defineConfig } from "vitest/config";

/**
 * For mutate.ts: the unit and in-process tests of the services. The other files need daprd, processes or a browser, and
 * each test of abandoned.test.ts takes seconds.
 */
export default defineConfig({
  test: {
    include: ["test/services/{dapr,group-lister,runtime,state-api,welcome}/**/*.test.ts"],
    exclude: [
      "test/services/group-lister/process.test.ts",
      "test/services/state-api/{abandoned,dapr-store,durability,held-sidecar,keyless,outage,refused-member}.test.ts",
      "test/services/state-api/{stores,two-instances,values}.test.ts",
      "test/services/welcome/{page,sidecar-errors,sign-in-page,sign-in-users}.test.ts",
    ],
    runner: "test/mutation/runner.ts",
    pool: "forks",
    fsModuleCache: false,
    maxWorkers: 1, // mutate.ts starts one Vitest for each CPU
    testTimeout: 30_000,
    hookTimeout: 3_000,
    expect: { poll: { timeout: 10_000 } },
    reporters: [],
  },
});
