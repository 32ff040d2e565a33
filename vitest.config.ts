import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

/** These tiers mostly wait for other programs, so two workers pay off on two CPUs, where Vitest's default is one. */
const waiting = { maxWorkers: Math.max(2, availableParallelism() - 1) };

/** Of `expect.poll`; Vitest's default is 1 s, which a busy machine exceeds. */
const poll = { timeout: 20_000 };

/** The processes that tests start need half as much CPU time to load their modules when the compiled code is kept. */
const env = { NODE_COMPILE_CACHE: join(tmpdir(), "dapr-on-azure-samples-compiled") };

/** One project for each tier: `npm test` runs suite, `npm run test:NAME` the others. */
export default defineConfig({
  test: {
    projects: [
      tier("suite", ["test/*.test.ts", "test/{docs,services,simulators,stand-ins,tools}/**/*.test.ts"], {
        globalSetup: "test/support/global-setup.ts",
        maxWorkers: Math.max(3, availableParallelism()), // its tests often wait, too
      }),
      tier("histories", ["test/histories/*.test.ts"], { globalSetup: "test/support/global-setup.ts", maxWorkers: 1 }),
      tier("infra", ["test/infra/*.test.ts"], waiting),
      tier("containers", ["test/containers/*.test.ts"]),
      tier("kubernetes", ["test/kubernetes/*.test.ts"], waiting),
    ],
    coverage: {
      // The tests run most tools as processes of their own, where Vitest collects no coverage.
      include: ["services/**/*.ts"],
      // Nor does it in a browser, in WebAssembly and in threads.
      exclude: ["services/*/page/**", "services/*/module/**", "services/hello-wasm/{wasi,worker}.ts", "**/*.d.ts"],
      reporter: ["text", "lcov"],
      thresholds: { lines: 95, branches: 85 },
    },
  },
});

function tier(
  name: string,
  include: string[],
  more: { globalSetup?: string; maxWorkers?: number } = {},
): TestProjectInlineConfiguration {
  return { test: { env, name, include, testTimeout: 120_000, hookTimeout: 120_000, expect: { poll }, ...more } };
}
