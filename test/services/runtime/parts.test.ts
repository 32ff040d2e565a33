// The small parts of the runtime: metrics, log, timeout, and what the OpenAPI documents share.
import { once } from "node:events";
import fs from "node:fs";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { stripVTControlCharacters } from "node:util";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { sidecarOrigin, sidecarVariables } from "../../../services/dapr/config.ts";
import { addCommonRoutes, createServiceApp } from "../../../services/runtime/app.ts";
import { readConfig } from "../../../services/runtime/config.ts";
import { createLogger } from "../../../services/runtime/log.ts";
import { createRegistry } from "../../../services/runtime/metrics.ts";
import { problem, text } from "../../../services/runtime/openapi.ts";
import { withTimeout } from "../../../services/runtime/timeout.ts";

describe("the metrics of requests", () => {
  let clock = 5_000;
  beforeEach(() => void vi.spyOn(performance, "now").mockImplementation(() => clock));
  afterEach(() => void vi.restoreAllMocks());

  function serve() {
    const register = new Registry();
    const app = createServiceApp(register, { HOST: "127.0.0.1", ALLOWED_HOSTS: "" });
    app.get("/items/:id", (_req, res) => {
      clock += 250;
      res.send("item");
    });
    app.get("/never", () => {});
    const log = pino({ level: "silent" });
    addCommonRoutes(app, { openapi: { paths: {} }, config: { METRICS_PORT: 0 }, log, register, ready: async () => {} });
    return { app, register };
  }
  const histogram = async (register: Registry) => {
    const [metric] = await register.getMetricsAsJSON();
    return { name: metric?.name, values: metric?.values as { labels: object; value: number; metricName?: string }[] };
  };

  test("count and time requests by method, pattern and status, in seconds", async () => {
    const { app, register } = serve();
    await request(app).get("/items/1").expect(200);
    await request(app).get("/items/2").expect(200);
    await request(app).get("/no-such-path").expect(404);
    const { name, values } = await histogram(register);
    expect(name).toBe("http_request_duration_seconds");
    const counts = values.filter(({ metricName }) => metricName?.endsWith("_count"));
    expect(counts.map(({ labels, value }) => ({ ...labels, value }))).toEqual([
      { method: "GET", route: "/items/:id", status: "200", value: 2 },
      { method: "GET", route: "(none)", status: "404", value: 1 },
    ]);
    const sum = values.find(({ metricName }) => metricName?.endsWith("_sum"))?.value;
    expect(sum).toBe(0.5);
    expect((await request(app).get("/metrics").expect(200)).text).toContain(
      "# HELP http_request_duration_seconds Time from the request's headers to the end of the response\n",
    );
  });

  test("have buckets from half a millisecond to five seconds", async () => {
    const { app, register } = serve();
    await request(app).get("/items/1");
    const { values } = await histogram(register);
    const bounds = values.flatMap(({ labels }) => ("le" in labels ? [labels.le] : []));
    expect(bounds).toEqual([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, "+Inf"]);
  });

  test("have the status 499 when the client leaves before the response", async () => {
    const { app, register } = serve();
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write("GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(server, "request");
    socket.destroy();
    await expect.poll(() => register.metrics()).toMatch(/route="\/never",status="499"/);
    server.close();
  });
});

test("a registry has the metrics of its process", async () => {
  const [one, two] = [createRegistry(), createRegistry()];
  for (const register of [one, two]) expect(await register.metrics()).toContain("nodejs_eventloop_lag_seconds");
});

test("a logger writes JSON lines with the service, the time and the name of the level to stdout", async () => {
  const lines: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((line) => {
    lines.push(String(line));
    return true;
  });
  try {
    const before = process.stdout.listenerCount("error");
    const log = await createLogger("a-service", "info");
    expect(process.stdout.listenerCount("error")).toBe(before + 1);
    log.debug("not this");
    log.info({ a: 1 }, "this");
  } finally {
    write.mockRestore();
  }
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { level: "info", time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/), service: "a-service", a: 1, msg: "this" },
  ]);
});

test("a logger writes readable lines without the service to a terminal", async () => {
  const lines: string[] = [];
  const write = vi.spyOn(fs, "writeSync").mockImplementation((_fd, line) => {
    lines.push(String(line));
    return String(line).length;
  });
  const { isTTY } = process.stdout;
  process.stdout.isTTY = true;
  try {
    const log = await createLogger("a-service", "info");
    log.debug("not this");
    log.info({ a: 1 }, "this");
    expect(stripVTControlCharacters(lines.join(""))).toMatch(/^\[[\d:.]+\] INFO: this\n {4}a: 1\n$/);
  } finally {
    process.stdout.isTTY = isTTY;
    write.mockRestore();
  }
});

test("withTimeout settles as the work does and leaves no timer, or rejects after the time", async () => {
  vi.useFakeTimers();
  try {
    const late = () => new Error("too late");
    await expect(withTimeout(Promise.resolve(1), 100, late)).resolves.toBe(1);
    await expect(withTimeout(Promise.reject(new Error("failed")), 100, late)).rejects.toThrow("failed");
    expect(vi.getTimerCount()).toBe(0);
    const waiting = expect(withTimeout(new Promise(() => {}), 100, late)).rejects.toThrow("too late");
    vi.advanceTimersByTime(100);
    await waiting;
  } finally {
    vi.useRealTimers();
  }
});

test("the sidecar's origin is DAPR_HTTP_ENDPOINT, or loopback with DAPR_HTTP_PORT", () => {
  const originOf = (env: Record<string, string>) => sidecarOrigin(readConfig(sidecarVariables, env));
  expect(originOf({ DAPR_HTTP_PORT: "9" })).toBe("http://127.0.0.1:9");
  expect(originOf({ DAPR_HTTP_PORT: "9", DAPR_HTTP_ENDPOINT: "http://127.0.0.1:8" })).toBe("http://127.0.0.1:8");
});

test("the parts of an OpenAPI document describe a problem and a text", () => {
  expect(problem("Why.")).toEqual({
    description: "Why.",
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  });
  expect(text("What.", "ok")).toEqual({
    description: "What.",
    content: { "text/plain": { schema: { type: "string" }, example: "ok" } },
  });
});
