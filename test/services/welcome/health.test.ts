import { expect, test } from "vitest";
import type { Trace } from "../../../services/runtime/trace.ts";
import { checkServices } from "../../../services/welcome/health.ts";
import type { Sidecar } from "../../../services/welcome/sidecar.ts";

const trace: Trace = { id: "0af7651916cd43dd8448eb211c80319c", sampled: true, headers: () => ({}), adopt: () => {} };
const check = (invoke: Sidecar["invoke"]) =>
  checkServices({ invoke, checkHealth: async () => "up", close: async () => {} }, trace);

test.each([
  ["the title", 400, '{"title":"Not ready","status":400}', "Not ready"],
  ["the text without a title", 503, '{"status":503}', '{"status":503}'],
  ["the text that is not JSON", 503, "no JSON", "no JSON"],
])("the reason of a service that is not ready is %s of its problem", async (_which, statusCode, text, reason) => {
  const [, ...others] = await check(async () => ({ statusCode, headers: {}, text }));
  const notReady = { service: "not ready", sidecar: "up", reason };
  expect(others).toEqual([
    { appId: "state-api", ...notReady },
    { appId: "group-lister", ...notReady },
  ]);
});

test("the check of a service belongs to the trace of its request", async () => {
  const calls: unknown[] = [];
  await check(async (...call) => {
    calls.push(call);
    return { statusCode: 200, headers: {}, text: "ok" };
  });
  expect(calls).toEqual(["state-api", "group-lister"].map((appId) => [appId, "/readyz", { trace }]));
});

test("an error that is no problem is a fault of welcome, not of the other service", async () => {
  const fault = new TypeError("a fault");
  await expect(check(() => Promise.reject(fault))).rejects.toBe(fault);
});
