import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { beforeEach, describe, expect, test } from "vitest";
import { addCommonRoutes, createServiceApp } from "../../../services/runtime/app.ts";
import { Problem } from "../../../services/runtime/problem.ts";

describe("GET /readyz", () => {
  let logged: { level: number; msg: string; err?: unknown }[];
  let failure: unknown;
  let api: ReturnType<typeof request>;

  beforeEach(() => {
    logged = [];
    failure = undefined;
    const register = new Registry();
    const app = createServiceApp(register, { HOST: "127.0.0.1", ALLOWED_HOSTS: "" });
    const log = pino({ base: null }, { write: (line: string) => logged.push(JSON.parse(line)) });
    const ready = async () => {
      if (failure) throw failure;
    };
    addCommonRoutes(app, { openapi: { paths: {} }, config: { METRICS_PORT: 0 }, log, register, ready });
    api = request(app);
  });

  const probe = async (times: number, status: number) => {
    for (let count = 0; count < times; count++) await api.get("/readyz").expect(status);
  };
  const lines = () => logged.map(({ level, msg }) => [pino.levels.labels[level], msg]);

  test("logs a warning without a stack once for each change of the reason, and the return to 200", async () => {
    await probe(2, 200);
    failure = new Error("the sidecar is unreachable", { cause: new Error("ECONNREFUSED") });
    await probe(5, 503);
    failure = new Error("no credential");
    await probe(5, 503);
    failure = undefined;
    await probe(2, 200);
    failure = new Error("no credential");
    await probe(2, 503);
    expect(lines()).toEqual([
      ["warn", "not ready: the sidecar is unreachable"],
      ["warn", "not ready: no credential"],
      ["info", "ready"],
      ["warn", "not ready: no credential"],
    ]);
    expect(logged.filter(({ err }) => err !== undefined)).toEqual([]);
  });

  test("logs the trace and the details of a problem, of which the caller sees those that it can act on", async () => {
    const cause = { details: ["of the store"] };
    failure = new Problem(502, "bad-store", "the store is broken", { detail: "Repair it.", cause });
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const { body } = await api.get("/readyz").set("traceparent", `00-${traceId}-b7ad6b7169203331-01`).expect(502);
    const seen = { status: 502, detail: "Repair it.", traceId };
    expect(body).toEqual({ type: "urn:problem:bad-store", title: "the store is broken", ...seen });
    expect(logged).toMatchObject([{ msg: "not ready: the store is broken", ...seen, ...cause }]);
  });

  test.each([
    ["an Error", new Error("the sidecar is unreachable")],
    ["a text", "the sidecar is unreachable"],
  ])("returns problem details with the reason, which is %s, and Retry-After", async (_name, thrown) => {
    failure = thrown;
    const response = await api.get("/readyz").expect(503).expect("Retry-After", "1");
    expect(response.type).toBe("application/problem+json");
    expect(response.body).toMatchObject({
      type: "urn:problem:not-ready",
      title: "the sidecar is unreachable",
      status: 503,
    });
  });
});
