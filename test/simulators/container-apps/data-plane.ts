// Runs each active revision as a process, and splits the requests to the app's addresses among them.
import { Agent, type IncomingMessage, type ServerResponse, request as sendRequest } from "node:http";
import { createServer } from "node:https";
import { handleRequests, SERVER_OPTIONS } from "../../../services/runtime/handle-requests.ts";
import { close, listen } from "../../../stand-ins/azure/http.ts";
import type { Process } from "../../support/processes.ts";
import { loadIngressKeys, suffix } from "./keys.ts";
import type { ProcessPool } from "./processes.ts";
import { createRandom } from "./random.ts";
import { isReady, type Revision } from "./revision.ts";
import { route } from "./routing.ts";
import { createSimulator, type Simulator, type SimulatorOptions } from "./simulator.ts";
import { canFail, slowness } from "./variants.ts";
import { replicaName } from "./views.ts";

export interface DataPlane {
  readonly simulator: Simulator;
  /** Such as `simulator.localhost:40123`. */
  readonly domain: string;
  /** PEM of the CA that the addresses need. */
  readonly ca: string;
  /** Called for each response of the ingress. */
  onResponse: ((response: IngressResponse) => void) | undefined;
  /** Resolves when the processes have ended that were told to. */
  drained(): Promise<void>;
  close(): Promise<void>;
}

interface IngressResponse {
  /** 0: the client left before. */
  readonly status: number;
  /** Undefined when the request reached none. */
  readonly revision: string | undefined;
  readonly userAgent: string;
}

interface DataPlaneOptions extends SimulatorOptions {
  readonly pool: ProcessPool;
  /** Waits as long as a slow request takes. Default: not at all; the logs have its duration anyway. */
  readonly pause?: (milliseconds: number) => Promise<void>;
  readonly port?: number;
}

export async function startDataPlane({
  pool,
  pause = async () => {},
  port = 0,
  ...options
}: DataPlaneOptions): Promise<DataPlane> {
  const keys = await loadIngressKeys();
  const random = createRandom(options.seed ?? 1);
  // One connection for each request: a process that was blocked can close an idle one as a request arrives on it.
  const agent = new Agent({ keepAlive: false });
  const processes = new Map<string, Promise<Process>>();
  const ending = new Set<Promise<void>>();
  let domain = suffix;

  const simulator = createSimulator({
    ...options,
    domain: () => domain,
    onStart(revision) {
      // A revision that never serves anything needs no process.
      const { startup } = revision.variant;
      if (
        !Number.isFinite(startup) ||
        (revision.crashesFrom ?? Number.POSITIVE_INFINITY) < revision.createdAt + startup
      )
        return;
      const [container] = revision.template.containers;
      // All processes share the ports of this computer, so each gets a port of its own.
      const variables = (container?.env ?? []).flatMap(({ name, value }) =>
        value === undefined || name === "PORT" ? [] : [[name, value]],
      );
      const started = pool.take(options.name ?? "welcome", {
        ...Object.fromEntries(variables),
        CONTAINER_APP_REVISION: revision.name,
        CONTAINER_APP_REPLICA_NAME: replicaName(revision),
      });
      started.catch(() => {}); // `onSettle` rejects, too
      processes.set(revision.name, started);
    },
    // The ingress sends it no new requests, and the process gets SIGTERM at the same time.
    onStop: (revision) => stop(revision, "SIGTERM"),
    async onSettle() {
      await Promise.all(processes.values());
    },
  });
  const { app, clock } = simulator;

  function stop({ name }: Revision, signal: NodeJS.Signals): void {
    const ended = processes.get(name)?.then((process) => pool.give(process, signal));
    processes.delete(name);
    if (!ended) return;
    ending.add(ended);
    void ended.finally(() => ending.delete(ended));
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    app.settle();
    const now = clock.now();
    const authority = request.headers.host ?? "";
    const host = authority.replace(/:\d+$/, "").replace(`.${suffix}`, "");
    const found = route(app, host, random, now);
    let extra = 0;
    response.once("close", () => {
      const status = response.headersSent ? response.statusCode : 0;
      const { "user-agent": userAgent = "" } = request.headers;
      plane.onResponse?.({ status, revision: found?.revision.name, userAgent });
      if (!found) return;
      const duration = Math.round(performance.now() - startedAt) + extra;
      simulator.requests.add({
        at: now,
        revision: found.revision.name,
        status,
        duration,
        authority,
        userAgent,
        count: 1,
      });
    });
    if (!found) return answer(response, 404, "Error 404 - This Container App is stopped or does not exist.");
    const { revision, weight } = found;
    const { variant, crashesFrom = Number.POSITIVE_INFINITY } = revision;
    if (now >= crashesFrom) stop(revision, "SIGKILL");
    const process = isReady(revision, now) ? await processes.get(revision.name) : undefined;
    if (!process) return answer(response, 503, "upstream connect error or disconnect/reset before headers");
    if (random.next() < (variant.slow ?? 0)) extra = slowness;
    await pause(extra);
    const { pathname } = new URL(request.url ?? "/", "http://app");
    if (canFail(variant, pathname, weight) && random.next() < (variant.errors ?? 0)) {
      return answer(response, 500, "Internal Server Error");
    }
    await forward(request, response, process);
  }

  /** As the ingress of Azure does, but with a name in Host that the service accepts on loopback. */
  function forward(request: IncomingMessage, response: ServerResponse, { origin }: Process): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { method, url, headers } = request;
    const forwarded = sendRequest(origin + url, {
      method,
      agent,
      headers: {
        ...headers,
        host: new URL(origin).host,
        "x-forwarded-host": headers.host,
        "x-forwarded-proto": "https",
      },
    });
    forwarded.once("response", (upstream) => {
      const { connection: _connection, "keep-alive": _keepAlive, ...others } = upstream.headers;
      response.writeHead(upstream.statusCode ?? 502, others);
      upstream.pipe(response);
    });
    forwarded.once("error", () => answer(response, 503, "upstream connect error or disconnect/reset before headers"));
    response.once("close", () => {
      forwarded.destroy();
      resolve();
    });
    request.pipe(forwarded);
    return promise;
  }

  const server = createServer({ key: keys.key, cert: keys.cert, ...SERVER_OPTIONS });
  handleRequests(server, (request, response) => {
    serve(request, response).catch((error: unknown) => {
      console.error("The ingress failed:", error);
      response.destroy();
    });
  });
  domain = `${suffix}:${await listen(server, "127.0.0.1", port)}`;

  const plane: DataPlane = {
    simulator,
    domain,
    ca: keys.ca,
    onResponse: undefined,
    async drained() {
      await Promise.all(ending);
    },
    async close() {
      await close(server);
      agent.destroy();
      const left = await Promise.all(processes.values());
      await Promise.all([...ending, ...left.map((process) => pool.give(process))]);
    },
  };
  return plane;
}

function answer(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(text);
}
