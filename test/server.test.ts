import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { freePorts, root } from "./support/processes.ts";

/** The process itself, run inside the test's so that its lines count as covered. */
describe("the state-api process", () => {
  const exit = vi.fn<(code?: number | string | null) => never>();
  beforeEach(() => {
    vi.resetModules();
    exit.mockReset();
    vi.spyOn(process, "exit").mockImplementation(exit);
    vi.stubEnv("LOG_LEVEL", "silent");
    process.argv = process.argv.slice(0, 2);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
    process.removeAllListeners("SIGTERM");
    process.removeAllListeners("SIGINT");
  });

  test("is live without a sidecar, not ready, says why, and exits 0 on SIGTERM", async () => {
    const [port, nobody] = await freePorts(2);
    vi.stubEnv("PORT", `${port}`);
    vi.stubEnv("DAPR_HTTP_PORT", `${nobody}`);
    await import("../services/state-api/server.ts");
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      return { status: answer.status, body: await answer.text() };
    };
    await expect.poll(() => get("/healthz")).toEqual({ status: 200, body: "ok" });
    expect(await get("/readyz")).toMatchObject({
      status: 503,
      body: expect.stringContaining("no Dapr sidecar answers"),
    });
    expect((await get("/state/k")).body).toContain("Error reading from statestore: no Dapr sidecar answers");
    expect((await get("/metrics")).body).toContain("nodejs_eventloop_lag_seconds");

    process.emit("SIGTERM");
    await expect.poll(() => exit.mock.calls).toEqual([[0]]);
    await expect(get("/healthz")).rejects.toThrow();
  });

  test("ends on SIGTERM when nobody reads its log any more", async () => {
    const [port, nobody] = await freePorts(2);
    const child = spawn(process.execPath, ["services/state-api/server.ts"], {
      cwd: root,
      env: { ...process.env, PORT: `${port}`, DAPR_HTTP_PORT: `${nobody}`, LOG_LEVEL: "info" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    await expect.poll(() => output, { interval: 5 }).toContain("listening");
    child.stdout.destroy();
    child.kill("SIGTERM");
    try {
      await expect.poll(() => child.exitCode, { timeout: 5_000 }).toBe(0);
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
  });

  test("exits 1 with the reason when its port is taken", async () => {
    const owner = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => owner.once("listening", resolve));
    const address = owner.address();
    vi.stubEnv("PORT", `${typeof address === "object" ? address?.port : ""}`);
    await import("../services/state-api/server.ts");
    await expect.poll(() => exit.mock.calls).toEqual([[1]]);
    owner.close();
  });

  test("exits 1 with all faults of its configuration", async () => {
    const { status, stderr } = spawnSync(process.execPath, ["services/state-api/server.ts", "--nope"], {
      cwd: root,
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/'--nope'.*--statestore NAME/);
    const wrong = spawnSync(process.execPath, ["services/state-api/server.ts"], {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, PORT: "x", LOG_LEVEL: "y" },
    });
    expect(wrong.status).toBe(1);
    expect(wrong.stderr).toMatch(/PORT="x"[\s\S]*LOG_LEVEL="y"/);
  });
});

test("readiness turns 503 as soon as the drain begins", async () => {
  const { pino } = await import("pino");
  const express = (await import("express")).default;
  const { serve } = await import("../services/shared/serve.ts");
  const exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
  const [port] = await freePorts(1);
  const lifecycle = { draining: false };
  const app = express();
  const arrived = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  app.get("/slow", async (_req, res) => {
    arrived.resolve();
    await held.promise;
    res.send(String(lifecycle.draining));
  });
  serve({
    app,
    log: pino({ level: "silent" }),
    lifecycle,
    config: { PORT: port ?? 0, HOST: "127.0.0.1", SHUTDOWN_TIMEOUT_MS: 5_000 },
    listening: () => {},
    close: async () => {},
  });
  const slow = fetch(`http://127.0.0.1:${port}/slow`);
  await arrived.promise;
  process.emit("SIGINT");
  expect(lifecycle.draining).toBe(true);
  expect(exit).not.toHaveBeenCalled();
  held.resolve();
  expect(await (await slow).text()).toBe("true");
  await expect.poll(() => exit.mock.calls).toEqual([[0]]);
  vi.restoreAllMocks();
});
