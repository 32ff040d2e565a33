import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from "vitest";
import { addCommonRoutes, createServiceApp } from "../../../services/runtime/app.ts";
import { serve } from "../../../services/runtime/serve.ts";
import { freePorts } from "../../support/processes.ts";

describe("serve", () => {
  const log = pino({ level: "silent" });
  let exit: MockInstance<typeof process.exit>;
  beforeEach(() => {
    // `serve` ends its process, which is the one that runs this test.
    exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
  });
  afterEach(() => {
    for (const signal of ["SIGTERM", "SIGINT"]) process.removeAllListeners(signal);
    vi.restoreAllMocks();
  });

  /** Serves `GET /slow`, which responds once `release` is called, and the common routes. */
  async function start({
    config,
    ...options
  }: {
    ready?: () => Promise<void>;
    warmUp?: () => Promise<void>;
    config?: { METRICS_PORT: number };
  } = {}) {
    const [port = 0] = await freePorts(1);
    /** Whether the body of each request to /flow is dropped. */
    const bodies: boolean[] = [];
    const arrived = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const close = vi.fn(async () => {});
    serve({
      app: (ready) => {
        const register = new Registry();
        const app = createServiceApp(register, { HOST: "127.0.0.1", ALLOWED_HOSTS: "" });
        app.get("/slow", async (_req, res) => {
          arrived.resolve();
          await held.promise;
          res.send("done");
        });
        app.all("/flow", (req, res) => {
          bodies.push(req.readableFlowing === true);
          res.send("done");
        });
        addCommonRoutes(app, { openapi: { paths: {} }, config: { METRICS_PORT: 0 }, log, register, ready });
        return app;
      },
      ready: async () => {},
      ...options,
      close,
      log,
      register: new Registry(),
      config: {
        ...{ PORT: port, HOST: "127.0.0.1", ALLOWED_HOSTS: "", METRICS_PORT: 0, SHUTDOWN_TIMEOUT_MS: 5_000 },
        ...config,
      },
    });
    const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
    await expect.poll(() => get("/healthz").then(({ status }) => status, String)).toBe(200);
    return { get, port, bodies, arrived: arrived.promise, release: held.resolve, close };
  }

  test("finishes requests in flight on SIGINT, /readyz among them with 503, then closes and exits 0", async () => {
    let check: () => Promise<void> = async () => {};
    const { get, arrived, release, close } = await start({ ready: () => check() });
    expect((await get("/readyz")).status).toBe(200);
    const [checking, checked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    check = () => {
      checking.resolve();
      return checked.promise;
    };
    const slow = get("/slow");
    const probe = get("/readyz");
    await Promise.all([arrived, checking.promise]);
    process.emit("SIGINT");
    process.emit("SIGTERM"); // has no further effect
    checked.resolve();
    expect((await probe).status).toBe(503);
    expect(await (await probe).json()).toMatchObject({ title: "the service is shutting down" });
    await expect(get("/readyz"), "a new connection").rejects.toThrow();
    expect(exit).not.toHaveBeenCalled();
    expect(close).not.toHaveBeenCalled();
    release();
    expect(await (await slow).text()).toBe("done");
    await expect.poll(() => exit.mock.calls).toEqual([[0]]);
    expect(close).toHaveBeenCalledOnce();
  });

  test("warms up with the readiness check, and only logs its failure", async () => {
    const warn = vi.spyOn(log, "warn");
    const { get } = await start({ ready: () => Promise.reject(new Error("no store yet")) });
    expect(warn).toHaveBeenCalledWith("no store yet");
    expect((await get("/readyz")).status).toBe(503);
    expect((await get("/healthz")).status).toBe(200);
    process.emit("SIGTERM");
    await expect.poll(() => exit.mock.calls).toEqual([[0]]);
  });

  test("logs the address, the metrics' address, the signal, and why closing failed", async () => {
    const [metricsPort = 0] = await freePorts(1);
    const lines = [vi.spyOn(log, "info"), vi.spyOn(log, "error")];
    const { close, port } = await start({ config: { METRICS_PORT: metricsPort } });
    expect((await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).status).toBe(200);
    const failure = new Error("it does not close");
    close.mockRejectedValue(failure);
    process.emit("SIGINT", "SIGINT");
    await expect.poll(() => exit.mock.calls).toEqual([[1]]);
    expect(lines.flatMap(({ mock }) => mock.calls)).toEqual([
      [`listening on http://127.0.0.1:${port}`],
      [`metrics on http://127.0.0.1:${metricsPort}/metrics`],
      ["SIGINT: draining"],
      [{ err: failure }, "shutdown failed"],
    ]);
    await expect(fetch(`http://127.0.0.1:${metricsPort}/metrics`)).rejects.toThrow();
  });

  test.each([
    ["a port that is in use", "127.0.0.1", (port: number) => `port ${port} is in use; set PORT to a free one`],
    ["an address of another machine", "192.0.2.1", () => "cannot listen"],
  ])("exits 1 on %s and logs the reason", async (_name, HOST, reason) => {
    const fatal = vi.spyOn(log, "fatal");
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    try {
      serve({
        app: () => createServiceApp(new Registry(), { HOST, ALLOWED_HOSTS: "" }),
        ready: async () => {},
        log,
        register: new Registry(),
        config: { PORT: port, HOST, ALLOWED_HOSTS: "", METRICS_PORT: 0, SHUTDOWN_TIMEOUT_MS: 5_000 },
      });
      await expect.poll(() => exit.mock.calls).toEqual([[1]]);
      expect(fatal.mock.calls).toEqual([[{ err: expect.any(Error) }, reason(port)]]);
    } finally {
      other.close();
    }
  });

  test("reads and drops a body that no route reads, except of a POST and a PUT", async () => {
    const { port, bodies } = await start();
    for (const [method, framing, dropped] of [
      ["GET", "Content-Length: 5", true],
      ["DELETE", "Transfer-Encoding: chunked", true],
      ["POST", "Content-Length: 5", false],
      ["PUT", "Content-Length: 5", false],
      ["GET", "X-None: 1", false],
    ] as const) {
      bodies.length = 0;
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(`${method} /flow HTTP/1.1\r\nHost: localhost\r\n${framing}\r\nConnection: close\r\n\r\n`);
      await expect.poll(() => bodies).toEqual([dropped]);
      socket.destroy();
    }
    process.emit("SIGTERM");
    await expect.poll(() => exit.mock.calls).toEqual([[0]]);
  });

  test("leaves no timer after it has drained", async () => {
    await start();
    const [set, cleared] = [vi.spyOn(globalThis, "setInterval"), vi.spyOn(globalThis, "clearInterval")];
    const [timers, ended] = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "clearTimeout")];
    process.emit("SIGTERM");
    await expect.poll(() => exit.mock.calls).toEqual([[0]]);
    const sweep = set.mock.results[set.mock.calls.findIndex(([, milliseconds]) => milliseconds === 50)];
    await expect.poll(() => cleared.mock.calls.flat()).toContain(sweep?.value);
    const limit = timers.mock.results[timers.mock.calls.findIndex(([, milliseconds]) => milliseconds === 5_000)];
    await expect.poll(() => ended.mock.calls.flat()).toContain(limit?.value);
  });

  test("exits 1 when closing takes longer than the timeout", async () => {
    const error = vi.spyOn(log, "error");
    const { close } = await start();
    close.mockImplementation(() => new Promise(() => {}));
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    process.emit("SIGTERM");
    vi.advanceTimersByTime(5_000);
    vi.useRealTimers();
    await expect.poll(() => exit.mock.calls).toEqual([[1]]);
    const err = new Error("requests still in flight after SHUTDOWN_TIMEOUT_MS (5000 ms)");
    expect(error.mock.calls).toEqual([[{ err }, "shutdown failed"]]);
  });
});
