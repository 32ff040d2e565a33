import { beforeEach, expect, test, vi } from "vitest";

beforeEach(() => void vi.resetModules()); // for npm run mutate, which changes what a module does as it loads

test("the OpenAPI documents without and with sign-in are the ones in openapi.snap.json", async () => {
  const { openapi, openapiWithSignIn } = await import("../../../services/welcome/openapi.ts");
  const withSignIn = openapiWithSignIn({
    required: true,
    clientId: "00000000-0000-0000-0000-000000000001",
    authority: "https://login.example/00000000-0000-0000-0000-000000000002",
    scope: "api://welcome/use",
  });
  await expect(`${JSON.stringify({ openapi, withSignIn }, null, 2)}\n`).toMatchFileSnapshot("openapi.snap.json");
});
