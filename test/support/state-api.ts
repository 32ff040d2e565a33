import { type ClientRequest, request as httpRequest } from "node:http";
import { Agent, request } from "undici";
import { type Process, startService, startSidecar } from "./processes.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** A process of state-api with a sidecar of its own. */
export interface StateApiPair {
  readonly service: Process;
  readonly sidecar: Process;
  /** Sends a request with a JSON body, unless `body` is undefined. */
  send(method: "GET" | "PUT" | "POST" | "DELETE", path: string, options?: SendOptions): Promise<Answer>;
  end(): Promise<void>;
}

interface SendOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

interface PairOptions {
  /** Folders of resources. */
  readonly resources: readonly string[];
  readonly sidecarEnv?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

export async function startStateApi({ resources, sidecarEnv = {}, env = {} }: PairOptions): Promise<StateApiPair> {
  const sidecar = await startSidecar({ resources, config: "components/local/config.yaml", env: sidecarEnv });
  const service = await startService("state-api", {
    DAPR_HTTP_ENDPOINT: sidecar.origin,
    LOG_LEVEL: "fatal",
    ...env,
  }).catch(async (error) => {
    await sidecar.end();
    throw error;
  });
  const dispatcher = new Agent();
  return {
    service,
    sidecar,
    async send(method, path, { body, headers = {} } = {}) {
      const json = body === undefined ? {} : { "content-type": "application/json" };
      const response = await request(service.origin + path, {
        method,
        dispatcher,
        headers: { ...json, ...headers },
        body: body === undefined ? null : JSON.stringify(body),
      });
      return { status: response.statusCode, headers: response.headers, text: await response.body.text() };
    },
    async end() {
      await dispatcher.destroy();
      await service.end();
      await sidecar.end();
    },
  };
}

/** A request that a service has read. */
export interface SentRequest {
  /** The status of its response; undefined when the connection closes before one. */
  readonly status: Promise<number | undefined>;
  hangUp(): void;
}

/** Sends requests, each on a connection of its own, and resolves when the service has read them all. */
export async function sendAll(
  origin: string,
  requests: readonly { method: "PUT" | "DELETE"; path: string; body?: unknown }[],
): Promise<SentRequest[]> {
  const sent = await Promise.all(
    requests.map(async ({ method, path, body }): Promise<SentRequest> => {
      const headers = body === undefined ? {} : { "Content-Type": "application/json" };
      const outgoing = httpRequest(origin + path, { method, headers, agent: false });
      const status = new Promise<number | undefined>((resolve) => {
        outgoing.on("response", (response) => resolve(response.resume().statusCode));
        outgoing.on("error", () => resolve(undefined));
      });
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
      await finished(outgoing);
      return { status, hangUp: () => outgoing.destroy() };
    }),
  );
  // A service accepts connections in the order of their arrival, and this one is new.
  const dispatcher = new Agent();
  for (const _ of [1, 2]) await (await request(`${origin}/healthz`, { dispatcher })).body.dump();
  await dispatcher.close();
  return sent;
}

/** Resolves when the operating system has the whole request. */
function finished(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => outgoing.once("finish", resolve).once("error", () => resolve()));
}

/** How many answers have each status, such as `{ 204: 1, 412: 99 }`. */
export function countStatuses(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}
