import { beforeEach, expect, test, vi } from "vitest";

beforeEach(() => void vi.resetModules()); // for npm run mutate, which changes what a module does as it loads

test("the OpenAPI document is the one in openapi.snap.json", async () => {
  const { openapi } = await import("../../../services/group-lister/openapi.ts");
  await expect(`${JSON.stringify(openapi, null, 2)}\n`).toMatchFileSnapshot("openapi.snap.json");
});
