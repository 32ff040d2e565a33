import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Express } from "express";
import type { Registry } from "prom-client";
import { createMetricsApp } from "./app.ts";
import type { Config, commonVariables } from "./config.ts";
import { field } from "./field.ts";
import { handleRequests, SERVER_OPTIONS } from "./handle-requests.ts";
import type { Logger } from "./log.ts";
import { withTimeout } from "./timeout.ts";

/** A connection above the maximum is closed at once. */
const MAX_CONNECTIONS = 1_000;

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
  readonly register: Registry;
  readonly config: Pick<
    Config<typeof commonVariables>,
    "PORT" | "HOST" | "ALLOWED_HOSTS" | "METRICS_PORT" | "SHUTDOWN_TIMEOUT_MS"
  >;
}

/**
 * Listens until SIGTERM or SIGINT, then drains: readiness returns 503, no connection is accepted, requests in flight
 * finish, and the process exits with 0. It exits with 1 when draining takes longer than SHUTDOWN_TIMEOUT_MS, or when it
 * cannot listen.
 */
export function serve({ app, ready, warmUp = ready, close = async () => {}, log, register, config }: Service): void {
  let draining = false;
  const rejectWhileDraining = () => {
    if (draining) throw new Error("the service is shutting down");
  };
  const readyUnlessDraining = async () => {
    rejectWhileDraining();
    await ready();
    rejectWhileDraining(); // shutdown may have begun meanwhile
  };
  const listen = (handle: RequestListener, variable: "PORT" | "METRICS_PORT", listening: (url: string) => void) => {
    const server = createServer(SERVER_OPTIONS);
    handleRequests(server, (req, res) => {
      dropUnusedBody(req);
      handle(req, res);
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.once("error", (error) => {
      const taken = field(error, "code") === "EADDRINUSE";
      const reason = taken ? `port ${config[variable]} is in use; set ${variable} to a free one` : "cannot listen";
      log.fatal({ err: error }, reason);
      process.exit(1);
    });
    server.listen(config[variable], config.HOST, () => {
      const { address, port } = server.address() as AddressInfo;
      listening(`http://${address}:${port}`);
    });
    return server;
  };
  const servers = [
    listen(app(readyUnlessDraining), "PORT", (url) => {
      log.info(`listening on ${url}`);
      warmUp().catch((error) => log.warn(error.message));
    }),
  ];
  if (config.METRICS_PORT !== 0) {
    const metrics = createMetricsApp(register, config, log);
    servers.push(listen(metrics, "METRICS_PORT", (url) => log.info(`metrics on ${url}/metrics`)));
  }

  async function shutDown(signal: string): Promise<void> {
    if (draining) return;
    log.info(`${signal}: draining`);
    draining = true;
    const timeoutMs = config.SHUTDOWN_TIMEOUT_MS;
    try {
      const tooSlow = () => new Error(`requests still in flight after SHUTDOWN_TIMEOUT_MS (${timeoutMs} ms)`);
      await withTimeout(Promise.all(servers.map(drain)).then(close), timeoutMs, tooSlow);
      process.exit(0);
    } catch (error) {
      log.error({ err: error }, "shutdown failed");
      process.exit(1);
    }
  }
  process.once("SIGTERM", shutDown);
  process.once("SIGINT", shutDown);
}

/** Without it, a body that no route reads would stay in the buffers of the connection until the response. */
function dropUnusedBody(req: IncomingMessage): void {
  if (req.method === "POST" || req.method === "PUT") return;
  const { "content-length": length, "transfer-encoding": encoding } = req.headers;
  if (length !== undefined || encoding !== undefined) req.resume();
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
