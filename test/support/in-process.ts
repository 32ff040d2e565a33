import { expect, vi } from "vitest";
import { freePorts } from "./processes.ts";

/**
 * Runs the server of a service inside the test process, so that coverage includes its lines. Calls `use` with the
 * server's origin and a function that sends it GET requests, then checks that SIGTERM ends the server with 0.
 *
 * `process.exit` is replaced, because it would end the test process. The arguments in `process.argv` are removed
 * meanwhile, because state-api would read those of Vitest as its own.
 */
export async function inProcess(
  name: string,
  env: Readonly<Record<string, string>>,
  use: (get: (path: string) => Promise<Response>, origin: string) => Promise<void>,
): Promise<void> {
  const exit = vi.spyOn(process, "exit").mockImplementation(() => undefined as never);
  const [port] = await freePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const get = (path: string) => fetch(origin + path);
  for (const [variable, value] of Object.entries({ LOG_LEVEL: "silent", ...env, PORT: `${port}` })) {
    vi.stubEnv(variable, value);
  }
  const args = process.argv.splice(2);
  vi.resetModules(); // a second import of the same server would start nothing
  try {
    await import(`../../services/${name}/server.ts`);
    const health = () => get("/healthz").then(({ status }) => status, String);
    await expect.poll(health, { timeout: 10_000 }).toBe(200);
    await use(get, origin);
    process.emit("SIGTERM");
    await expect.poll(() => exit.mock.calls, { timeout: 10_000 }).toEqual([[0]]);
    await expect(get("/healthz")).rejects.toThrow();
  } finally {
    process.argv.push(...args);
    for (const signal of ["SIGTERM", "SIGINT"]) process.removeAllListeners(signal);
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  }
}
