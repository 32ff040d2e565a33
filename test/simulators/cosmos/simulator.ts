// Simulates Azure Cosmos DB for NoSQL in memory: the part of its REST API that Dapr's state.azure.cosmosdb and
// @azure/cosmos use. https://learn.microsoft.com/rest/api/cosmos-db/
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { createAccount } from "./account.ts";
import { emulatorKey, type RoleAssignment } from "./auth.ts";
import type { ConsistencyLevel } from "./consistency.ts";
import { type CosmosResponse, Fault, readBody, sendResponse } from "./http.ts";
import { createReplicas, type Replicas } from "./lag.ts";
import { type ReceivedRequest, type RecordedRequest, readRequest } from "./recorded-request.ts";
import { route, type Service } from "./routes.ts";
import type { Tenant } from "./token.ts";

export interface CosmosSimulatorOptions {
  /** The address to listen on; default: loopback. */
  host?: string;
  /** Default 0: any free port. */
  port?: number;
  /** The account key, base64; default: the emulator's. */
  key?: string;
  /** The account's default consistency level. */
  consistency?: ConsistencyLevel;
  /** The account's own host name, an audience of its tokens; default: the simulator's address. */
  hostname?: string;
  /** Default: the account accepts keys only. */
  tenant?: Tenant;
  /** Accept only Entra ID tokens. */
  disableLocalAuth?: boolean;
  /** Default: every principal has the data contributor role on the account. */
  roleAssignments?: readonly RoleAssignment[];
  /** PEM. Serves https, because Dapr's client refuses to send Entra ID tokens over http. */
  tls?: { key: string; cert: string };
  /** Returns milliseconds; lets a test control the clock. */
  now?: () => number;
}

type AfterEffect = boolean | 408 | 503;

export interface CosmosSimulator {
  /** Ends with a slash, as in the Azure portal. */
  url: string;
  key: string;
  /** All requests since the start, rejected ones included. */
  requests: readonly RecordedRequest[];
  /** Delays the effect of every request from now on. */
  latencyMs: number;
  /** Set its `lagMs` to let reads without a session token return an older state. */
  replicas: Replicas;
  /** Runs before a request takes effect. It may wait. */
  before: (request: ReceivedRequest) => Promise<void> | void;
  /**
   * Runs between the effect of a request and its response. It may wait. False closes the connection instead, a number
   * is the status of an error response.
   */
  after: (request: RecordedRequest) => Promise<AfterEffect> | AfterEffect;
  /** False closes all connections, and each new one as soon as it is open. The documents stay. */
  setReachable(reachable: boolean): void;
  /** Responds with 429 to the next `count` requests for documents. */
  throttleNext(count: number, retryAfterMs: number): void;
  /** Responds with 503 to the next `count` requests for documents. */
  failNext(count: number): void;
  /** Creates a container as Dapr needs it, and its database: partition key /partitionKey, TTL on. */
  createContainer(
    database: string,
    id: string,
    definition?: { partitionKeyPath?: string; defaultTtl?: number | "off" },
  ): void;
  close(): Promise<void>;
}

export async function startCosmosSimulator({
  host = "127.0.0.1",
  port = 0,
  key = emulatorKey,
  consistency = "Session",
  hostname = "127.0.0.1",
  tenant,
  disableLocalAuth = false,
  roleAssignments,
  tls,
  now = Date.now,
}: CosmosSimulatorOptions = {}): Promise<CosmosSimulator> {
  const account = createAccount(now);
  const requests: RecordedRequest[] = [];
  const replicas = createReplicas(account);
  const service: Service = {
    account,
    access: { key, disableLocalAuth, roleAssignments, hostname, tenant, now },
    consistency,
    scheme: tls === undefined ? "http" : "https",
    faults: [],
  };

  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
  // Node's default of 5 s sometimes closes a connection just as a client sends its next request.
  server.keepAliveTimeout = 120_000;
  let isReachable = true;
  server.on("connection", (connection) => {
    if (!isReachable) connection.destroy();
  });
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");

  const simulator: CosmosSimulator = {
    url: `${service.scheme}://127.0.0.1:${address.port}/`,
    key,
    requests,
    latencyMs: 0,
    replicas,
    before: () => {},
    after: () => true,
    throttleNext(count, retryAfterMs) {
      const message = "Request rate is large. More Request Units may be needed, so no changes were made.";
      for (let i = 0; i < count; i++) service.faults.push(new Fault(429, message, { substatus: 3200, retryAfterMs }));
    },
    failNext(count) {
      for (let i = 0; i < count; i++) service.faults.push(new Fault(503, "Service is currently unavailable."));
    },
    createContainer(databaseId, id, { partitionKeyPath = "/partitionKey", defaultTtl = -1 } = {}) {
      const database = account.databases.get(databaseId) ?? account.createDatabase(databaseId);
      const ttl = defaultTtl === "off" ? {} : { defaultTtl };
      const partitionKey = { paths: [partitionKeyPath] as const, kind: "Hash", version: 2 };
      account.createContainer(database, { id, partitionKey, ...ttl });
    },
    setReachable(reachable) {
      isReachable = reachable;
      if (!reachable) server.closeAllConnections();
    },
    async close() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return simulator;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let result: CosmosResponse;
    const received = readRequest(request);
    try {
      const body = await readBody(request);
      if (simulator.latencyMs > 0) await sleep(simulator.latencyMs);
      await simulator.before(received);
      const isRead = received.method === "GET" || received.isQuery;
      const mayBeLate = isRead && received.sessionToken === undefined && /\/docs(\/|$)/.test(received.path);
      if (!isRead) replicas.keep();
      const respond = () => route(service, request, body);
      result = mayBeLate ? replicas.read(respond) : respond();
    } catch (error) {
      if (!request.complete) return; // the client disconnected
      if (!(error instanceof Fault)) throw error;
      result = error.toResponse();
    }
    const recorded = { ...received, status: result.status };
    requests.push(recorded);
    const answer = await simulator.after(recorded);
    if (answer === false) response.destroy();
    else sendResponse(response, answer === true ? result : new Fault(answer, "Request timed out.").toResponse());
  }
}
