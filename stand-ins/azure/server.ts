// A stand-in for the parts of Azure that list resource groups, on loopback: managed identity (http), Entra ID and Azure
// Resource Manager (https, with a certificate of its own CA). `node stand-ins/azure/server.ts` runs it with sample groups.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { Resources } from "../../test/simulators/resource-manager/resources.ts";
import { loadKeys } from "./certificate.ts";
import { httpPort, httpsPort, identityHeader } from "./defaults.ts";
import { type Application, onEntra } from "./entra.ts";
import type { Answer, Request } from "./http.ts";
import { onContainerApps, onImds } from "./managed-identity.ts";
import { onResourceManager, refusal, type Subscription } from "./resource-manager.ts";
import { createTokens, decode, type Principal } from "./tokens.ts";

export interface AzureOptions {
  /** The address to listen on; default loopback. */
  host?: string;
  /** 0 = any free one. */
  port?: number;
  httpsPort?: number;
  /** Where its keys are; default data/stand-ins/azure. */
  folder?: string;
  userAssigned?: readonly Principal[];
  applications?: readonly Application[];
  subscriptions?: Subscription[];
  /** Object ids that hold the role Reader. Default: every token's. */
  readers?: readonly string[];
  /** Resources that whoever has a token makes, changes and deletes. Default: subscriptions only list their groups. */
  resources?: Resources;
  /** Resources that tokens can be had for and that Azure Resource Manager takes. Default: the public cloud's. */
  audiences?: readonly string[];
}

/** Which part of Azure a request was for. */
export type Part = "identity" | "imds" | "entra" | "arm";

export interface Azure {
  /** Origin of the managed identity endpoints. */
  readonly url: string;
  /** Origin of Azure Resource Manager and of Entra ID. */
  readonly httpsUrl: string;
  /** PEM file with the certificate of the CA, for NODE_EXTRA_CA_CERTS. */
  readonly caFile: string;
  readonly tenantId: string;
  /** All requests since the start, refused ones included. */
  readonly requests: readonly RecordedRequest[];
  /** Added to every answer of a part from now on; Infinity: it takes requests and never answers. */
  readonly latencyMs: Record<Part, number>;
  /** Seconds that tokens live from now on. */
  tokenLifetime: number;
  subscriptions: Subscription[];
  /** Where links to the next page point; undefined: here. */
  nextLinkOrigin: string | undefined;
  /** The next `count` requests of a part are answered so. */
  failNext(
    part: Part,
    count: number,
    answer: { status: number; headers?: Record<string, string>; body?: unknown },
  ): void;
  /** Azure Resource Manager refuses all tokens issued so far. */
  revokeTokens(): void;
  close(): Promise<void>;
}

export interface RecordedRequest {
  readonly part: Part;
  readonly method: string;
  /** With the query, as sent. */
  readonly path: string;
  readonly status: number;
  /** The bearer token's own id and owner, where there is one. */
  readonly token: { readonly id: unknown; readonly clientId: unknown } | undefined;
  /** A client assertion's id, where there is one. */
  readonly assertionId: unknown;
  /** As sent. */
  readonly body: string;
}

/** `sample` in every name: nobody shall take them for their own. */
export const sampleSubscription: Subscription = {
  id: "00000000-5a4d-4b1e-8000-000000000001",
  name: "Sample subscription",
  groups: [
    ...["rg-sample-aks-westeurope", "rg-sample-container-apps", "rg-sample-cosmos-db", "rg-sample-dapr-dev"],
    ...["rg-sample-dapr-prod", "rg-sample-dns-private", "rg-sample-keyvault", "rg-sample-log-analytics"],
    ...["rg-sample-network-hub", "rg-sample-network-spoke", "rg-sample-policy", "rg-sample-wasm-registry"],
  ].map((name) => ({ name, tags: { "sample-data": "azure-stand-in" } })),
};

/** Not real ones. */
const sampleTenantId = "00000000-5a4d-4b1e-8000-00000000000a";
export const sampleIdentity: Principal = {
  clientId: "00000000-5a4d-4b1e-8000-0000000000c1",
  objectId: "00000000-5a4d-4b1e-8000-0000000000b1",
};

const publicCloud = ["https://management.azure.com", "https://management.core.windows.net"];

export async function startAzure(options: AzureOptions = {}): Promise<Azure> {
  const tenantId = sampleTenantId;
  const audiences = (options.audiences ?? publicCloud).flatMap((name) => [name, `${name}/`]);
  const keys = await loadKeys(options.folder);
  const tokens = createTokens(keys.tokenKey, tenantId);
  const identities = {
    systemAssigned: sampleIdentity,
    userAssigned: options.userAssigned ?? [],
    header: identityHeader,
    tokens,
    audiences,
  };
  const directory = { tenantId, applications: options.applications ?? [], tokens, audiences };
  const requests: RecordedRequest[] = [];
  const failures: Record<Part, Answer[]> = { identity: [], imds: [], entra: [], arm: [] };

  const http = createServer((request, response) => handle(request, response, routeHttp));
  const https = createTlsServer({ key: keys.key, cert: keys.cert }, (request, response) =>
    handle(request, response, routeHttps),
  );
  const servers = [http, https];
  const { host = "127.0.0.1" } = options;
  const url = `http://127.0.0.1:${await listen(http, host, options.port ?? 0)}`;
  const httpsUrl = `https://127.0.0.1:${await listen(https, host, options.httpsPort ?? 0)}`;

  const azure: Azure = {
    url,
    httpsUrl,
    caFile: keys.caFile,
    tenantId,
    requests,
    latencyMs: { identity: 0, imds: 0, entra: 0, arm: 0 },
    subscriptions: options.subscriptions ?? [sampleSubscription],
    nextLinkOrigin: undefined,
    get tokenLifetime() {
      return tokens.lifetime;
    },
    set tokenLifetime(seconds) {
      tokens.lifetime = seconds;
    },
    failNext(part, count, { body = "", ...answer }) {
      failures[part].push(...Array.from({ length: count }, () => ({ body, ...answer })));
    },
    revokeTokens: tokens.revokeAll,
    async close() {
      await Promise.all(
        servers.map(async (server) => {
          if (!server.listening) return;
          const closed = once(server, "close");
          server.close();
          server.closeAllConnections();
          await closed;
        }),
      );
    },
  };
  return azure;

  async function handle(message: IncomingMessage, response: ServerResponse, route: Route): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk);
    const request: Request = {
      method: message.method ?? "",
      // By the name that the client has for it, which in containers is not ours.
      url: new URL(message.url ?? "", `${route === routeHttp ? "http" : "https"}://${message.headers.host}`),
      headers: message.headers,
      body: Buffer.concat(chunks).toString(),
    };
    const part = partOf(request);
    if (part === undefined) return send(response, await route(request));
    const latency = azure.latencyMs[part];
    if (latency === Number.POSITIVE_INFINITY) {
      record(part, request, 0);
      return;
    }
    if (latency > 0) await sleep(latency);
    const answer = failures[part].shift() ?? (await route(request));
    record(part, request, answer.status);
    send(response, answer);
  }

  function routeHttp(request: Request): Answer {
    const { pathname } = request.url;
    if (pathname === "/readyz") return { status: 200, body: "ok" };
    if (pathname === "/msi/token") return onContainerApps(request, identities);
    if (imdsPath.test(pathname)) return onImds(request, identities);
    return { status: 404, body: "There is nothing here." };
  }

  async function routeHttps(request: Request): Promise<Answer> {
    const { nextLinkOrigin, subscriptions } = azure;
    const { readers, resources } = options;
    return (
      (await onEntra(request, directory)) ??
      onResourceManager(request, { tenantId, tokens, audiences, subscriptions, readers, nextLinkOrigin, resources })
    );
  }

  function record(part: Part, { method, url: { pathname, search }, headers, body }: Request, status: number): void {
    const claims = decode(headers.authorization?.slice("Bearer ".length) ?? "")?.claims;
    const assertion = part === "entra" ? new URLSearchParams(body).get("client_assertion") : null;
    requests.push({
      part,
      method,
      path: pathname + search,
      status,
      token: claims && { id: claims.uti, clientId: claims.appid },
      assertionId: assertion === null ? undefined : decode(assertion)?.claims.jti,
      body,
    });
  }
}

type Route = (request: Request) => Answer | Promise<Answer>;

const imdsPath = /^\/metadata\/identity\/oauth2\/token\/?$/;

function partOf({ url: { protocol, pathname } }: Request): Part | undefined {
  if (protocol === "https:") return /\/(oauth2|discovery|\.well-known)\//.test(pathname) ? "entra" : "arm";
  if (pathname === "/msi/token") return "identity";
  return imdsPath.test(pathname) ? "imds" : undefined;
}

/** What Azure Resource Manager answers when a subscription's readers are too many.
 *  https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling */
export function throttled(retryAfterSeconds: number) {
  const message = `Number of 'read' requests exceeded. Please try again after '${retryAfterSeconds}' seconds.`;
  return refusal(429, "SubscriptionRequestsThrottled", message, { "Retry-After": String(retryAfterSeconds) });
}

function send(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  const isText = typeof body === "string";
  response.writeHead(status, {
    "Content-Type": isText ? "text/plain; charset=utf-8" : "application/json; charset=utf-8",
    ...headers,
  });
  response.end(isText ? body : JSON.stringify(body));
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  // Node's 5 s would now and then close a connection under a client's next request.
  server.keepAliveTimeout = 120_000;
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return address.port;
}

if (import.meta.main) {
  const azure = await startAzure({
    ...(process.env.HOST ? { host: process.env.HOST } : {}),
    port: Number(process.env.PORT ?? httpPort),
    httpsPort: Number(process.env.AZURE_STAND_IN_HTTPS_PORT ?? httpsPort),
  });
  const { length } = sampleSubscription.groups;
  console.log(`Azure stand-in with ${length} sample groups: managed identity ${azure.url}, Azure ${azure.httpsUrl}`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void azure.close());
}
