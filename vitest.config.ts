import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

/** Projects: `npm test`, and a tier for each kind of engine: `npm run test:infra`, `test:containers`, `test:kubernetes`. */
export default defineConfig({
  test: {
    projects: [
      tier("suite", ["test/*.test.ts", "test/{docs,services,simulators,stand-ins,tools}/**/*.test.ts"], {
        globalSetup: "test/support/global-setup.ts",
      }),
      tier("infra", ["test/infra/*.test.ts"]),
      tier("containers", ["test/containers/*.test.ts"]),
      tier("kubernetes", ["test/kubernetes/*.test.ts"]),
    ],
    coverage: {
      include: ["services/**/*.ts"],
      // These run in a browser, in WebAssembly and in threads, where Vitest collects no coverage.
      exclude: ["services/*/page/**", "services/*/module/**", "services/hello-wasm/worker.ts", "**/*.d.ts"],
      reporter: ["text", "lcov"],
      thresholds: { lines: 95 },
    },
  },
});

function tier(name: string, include: string[], more: { globalSetup?: string } = {}): TestProjectInlineConfiguration {
  return { test: { name, include, testTimeout: 30_000, hookTimeout: 60_000, ...more } };
}
