import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Express } from "express";
import type { Logger } from "./log.ts";

/** Whether the process is on its way out. Readiness reads it, the drain sets it. */
export interface Lifecycle {
  draining: boolean;
}

interface ServeOptions {
  readonly app: Express;
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  readonly config: { readonly PORT: number; readonly HOST: string; readonly SHUTDOWN_TIMEOUT_MS: number };
  /** Runs once the port is open: what would only have made the start longer. */
  readonly listening: () => void;
  /** Closes what the service opened; runs when the last answer is out. */
  readonly close: () => Promise<void>;
}

/**
 * Listens until SIGTERM or SIGINT, then drains: readiness turns 503, nothing new is accepted, what is in flight is
 * finished, exit 0. Exit 1 when that takes longer than SHUTDOWN_TIMEOUT_MS or the port cannot be had.
 */
export function serve({ app, log, lifecycle, config, listening, close }: ServeOptions): void {
  const server = createServer(app);
  server.once("error", (error) => {
    const taken = "code" in error && error.code === "EADDRINUSE";
    log.fatal({ err: error }, taken ? `port ${config.PORT} is taken; set PORT to another` : "cannot listen");
    process.exit(1);
  });
  server.listen(config.PORT, config.HOST, () => {
    const { address, port } = server.address() as AddressInfo;
    log.info(`listening on http://${address}:${port}`);
    listening();
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      log.info(`${signal}: draining`);
      lifecycle.draining = true;
      within(config.SHUTDOWN_TIMEOUT_MS, drain(server).then(close)).then(
        () => process.exit(0),
        (error) => {
          log.error({ err: error }, "could not drain in time");
          process.exit(1);
        },
      );
    });
  }
}

function within(timeoutMs: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`requests still in flight after ${timeoutMs} ms`)), timeoutMs);
    work.then(resolve, reject);
  });
}

/** Resolves when every request in flight has its answer. */
function drain(server: Server): Promise<void> {
  // A keep-alive connection turns idle only after its answer, so one sweep is not enough:
  // close() alone took 7 s where this takes as long as the slowest request.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  return new Promise<void>((resolve) => {
    server.close(() => resolve());
  }).finally(() => clearInterval(sweep));
}
