import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/global-setup.ts",
    testTimeout: 30_000,
    hookTimeout: 60_000,
    coverage: {
      include: ["services/**/*.ts"],
      exclude: ["services/*/page/**"], // runs in a browser, and is tested in one
      reporter: ["text", "lcov"],
      thresholds: { lines: 95 },
    },
  },
});
