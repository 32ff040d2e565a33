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
  async function start(options: { ready?: () => Promise<void>; warmUp?: () => Promise<void> } = {}) {
    const [port = 0] = await freePorts(1);
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
        addCommonRoutes(app, { openapi: { paths: {} }, config: { METRICS_PORT: 0 }, log, register, ready });
        return app;
      },
      ready: async () => {},
      ...options,
      close,
      log,
      register: new Registry(),
      config: { PORT: port, HOST: "127.0.0.1", ALLOWED_HOSTS: "", METRICS_PORT: 0, SHUTDOWN_TIMEOUT_MS: 5_000 },
    });
    const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
    await expect.poll(() => get("/healthz").then(({ status }) => status, String)).toBe(200);
    return { get, arrived: arrived.promise, release: held.resolve, close };
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

  test("exits 1 when closing takes longer than the timeout", async () => {
    const { close } = await start();
    close.mockImplementation(() => new Promise(() => {}));
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    process.emit("SIGTERM");
    vi.advanceTimersByTime(5_000);
    vi.useRealTimers();
    await expect.poll(() => exit.mock.calls).toEqual([[1]]);
  });
});
