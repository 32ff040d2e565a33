import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Express } from "express";
import type { Logger } from "./log.ts";
import { withTimeout } from "./timeout.ts";

interface Service {
  /** Creates the app. Its `/readyz` uses the `ready` that it receives, which rejects once shutdown has begun. */
  readonly app: (ready: () => Promise<void>) => Express;
  /** Resolves when requests can be served; rejects with the reason when they cannot. */
  readonly ready: () => Promise<void>;
  /** Runs once the port is open and loads what would delay that; default `ready`. A failure is logged as a warning. */
  readonly warmUp?: () => Promise<void>;
  /** Closes what the service opened. Runs after the last response. */
  readonly close?: () => Promise<void>;
  readonly log: Logger;
  readonly config: { readonly PORT: number; readonly HOST: string; readonly SHUTDOWN_TIMEOUT_MS: number };
}

/**
 * Listens until SIGTERM or SIGINT, then drains: readiness returns 503, no connection is accepted, requests in flight
 * finish, and the process exits with 0. It exits with 1 when draining takes longer than SHUTDOWN_TIMEOUT_MS, or when it
 * cannot listen.
 */
export function serve({ app, ready, warmUp = ready, close = async () => {}, log, config }: Service): void {
  let draining = false;
  const rejectWhileDraining = () => {
    if (draining) throw new Error("the service is shutting down");
  };
  const readyUnlessDraining = async () => {
    rejectWhileDraining();
    await ready();
    rejectWhileDraining(); // shutdown may have begun meanwhile
  };
  const server = createServer(app(readyUnlessDraining));
  server.once("error", (error) => {
    const taken = "code" in error && error.code === "EADDRINUSE";
    log.fatal({ err: error }, taken ? `port ${config.PORT} is in use; set PORT to a free one` : "cannot listen");
    process.exit(1);
  });
  server.listen(config.PORT, config.HOST, () => {
    const { address, port } = server.address() as AddressInfo;
    log.info(`listening on http://${address}:${port}`);
    warmUp().catch((error) => log.warn(error.message));
  });

  async function shutDown(signal: string): Promise<void> {
    if (draining) return;
    log.info(`${signal}: draining`);
    draining = true;
    const timeoutMs = config.SHUTDOWN_TIMEOUT_MS;
    try {
      const tooSlow = () => new Error(`requests still in flight after SHUTDOWN_TIMEOUT_MS (${timeoutMs} ms)`);
      await withTimeout(drain(server).then(close), timeoutMs, tooSlow);
      process.exit(0);
    } catch (error) {
      log.error({ err: error }, "shutdown failed");
      process.exit(1);
    }
  }
  process.once("SIGTERM", shutDown);
  process.once("SIGINT", shutDown);
}

/** Resolves when every request in flight has its response. */
function drain(server: Server): Promise<void> {
  // A keep-alive connection becomes idle only after its response, so sweep repeatedly. close() alone took 7 s; with the
  // sweep, draining takes as long as the slowest request.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  return new Promise<void>((resolve) => {
    server.close(() => resolve());
  }).finally(() => clearInterval(sweep));
}
