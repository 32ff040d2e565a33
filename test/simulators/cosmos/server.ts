// A stand-in for Azure Cosmos DB for NoSQL: the part of its REST API that Dapr's state.azure.cosmosdb and @azure/cosmos
// use, in memory, on loopback. `node test/simulators/cosmos/server.ts` runs it on the emulator's port with the emulator's key, as empty.
// https://learn.microsoft.com/rest/api/cosmos-db/
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { authorize } from "./auth.ts";
import {
  type Container,
  type ContainerDefinition,
  childRid,
  createContainer,
  type Document,
  isObject,
  isTtl,
  type JsonObject,
  notFound,
  type Partition,
} from "./container.ts";
import {
  type Answer,
  Fault,
  header,
  isFlag,
  isMinimal,
  isQueryRequest,
  parseJson,
  readBody,
  send,
  toAnswer,
} from "./http.ts";
import { plan, query } from "./query.ts";

/** Not a secret: every Cosmos DB emulator has it. https://learn.microsoft.com/azure/cosmos-db/emulator */
export const emulatorKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";

/** Strongest first: a request may ask for what the account has, or for less. */
export type ConsistencyLevel = "Strong" | "BoundedStaleness" | "Session" | "ConsistentPrefix" | "Eventual";
const consistencyLevels: readonly string[] = ["Strong", "BoundedStaleness", "Session", "ConsistentPrefix", "Eventual"];

export interface CosmosOptions {
  /** The address to listen on; default loopback. */
  host?: string;
  /** 0 = any free one. */
  port?: number;
  /** The account key, base64. */
  key?: string;
  /** The account's default. */
  consistency?: ConsistencyLevel;
  /** Accept Entra ID tokens only. */
  disableLocalAuth?: boolean;
  /** Object ids of those who hold the data contributor role. Default: every token's. */
  principals?: readonly string[];
  /** PEM. Serves https: the Go SDK sends Entra ID tokens over nothing else. */
  tls?: { key: string; cert: string };
  /** Milliseconds; lets a test pass time. */
  now?: () => number;
}

export interface Cosmos {
  /** With the slash at the end that the portal shows too. */
  url: string;
  key: string;
  /** All requests since the start, refused ones included. */
  requests: readonly RecordedRequest[];
  /** Added to every answer from now on. */
  latencyMs: number;
  /** The next `count` requests for documents answer 429. */
  throttleNext(count: number, retryAfterMs: number): void;
  /** The next `count` requests for documents answer 503. */
  failNext(count: number): void;
  /** Makes what Dapr needs, as Azure would: the database too, partition key /partitionKey, TTL on. */
  createContainer(
    database: string,
    id: string,
    definition?: { partitionKeyPath?: string; defaultTtl?: number | "off" },
  ): void;
  close(): Promise<void>;
}

export interface RecordedRequest {
  method: string;
  /** As sent, percent-encoding included. */
  path: string;
  status: number;
  isUpsert: boolean;
  isBatch: boolean;
  isQuery: boolean;
  consistencyLevel: string | undefined;
  /** JSON: an array with one value. */
  partitionKey: string | undefined;
  ifMatch: string | undefined;
  sessionToken: string | undefined;
}

interface Database {
  id: string;
  rid: Buffer;
  properties: JsonObject;
  containers: Map<string, Container>;
  created: number;
}

export async function startCosmos({
  host = "127.0.0.1",
  port = 0,
  key = emulatorKey,
  consistency = "Session",
  disableLocalAuth = false,
  principals,
  tls,
  now = Date.now,
}: CosmosOptions = {}): Promise<Cosmos> {
  const hostname = "127.0.0.1";
  const databases = new Map<string, Database>();
  const requests: RecordedRequest[] = [];
  const faults: Fault[] = [];
  let databasesCreated = 0;

  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
  // Node's 5 s would now and then close a connection under a client's next request.
  server.keepAliveTimeout = 120_000;
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  const url = `${tls === undefined ? "http" : "https"}://${hostname}:${address.port}/`;

  const cosmos: Cosmos = {
    url,
    key,
    requests,
    latencyMs: 0,
    throttleNext(count, retryAfterMs) {
      const message = "Request rate is large. More Request Units may be needed, so no changes were made.";
      for (let i = 0; i < count; i++) faults.push(new Fault(429, message, { substatus: 3200, retryAfterMs }));
    },
    failNext(count) {
      for (let i = 0; i < count; i++) faults.push(new Fault(503, "Service is currently unavailable."));
    },
    createContainer(databaseId, id, { partitionKeyPath = "/partitionKey", defaultTtl = -1 } = {}) {
      const database = databases.get(databaseId) ?? addDatabase({ id: databaseId });
      const ttl = defaultTtl === "off" ? {} : { defaultTtl };
      addContainer(database, { id, partitionKey: { paths: [partitionKeyPath], kind: "Hash", version: 2 }, ...ttl });
    },
    async close() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return cosmos;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      const body = await readBody(request);
      if (cosmos.latencyMs > 0) await sleep(cosmos.latencyMs);
      answer = route(request, body);
    } catch (error) {
      if (!request.complete) return; // the client left
      answer = toAnswer(error);
    }
    requests.push(record(request, answer.status));
    send(response, answer);
  }

  function route(request: IncomingMessage, body: string): Answer {
    const { method = "", headers } = request;
    const segments = (request.url ?? "").split("/").filter(Boolean).map(decodeURIComponent);
    authorize(
      { method, segments, authorization: headers.authorization, date: header(request, "x-ms-date") },
      { key, disableLocalAuth, principals, hostname, now },
    );

    const [dbs, databaseId, colls, containerId, leaf, documentId, ...rest] = segments;
    if (dbs === undefined) return onlyGet(method, account(headers.host));
    if (dbs !== "dbs" || rest.length > 0) throw noRoute();
    if (databaseId === undefined) return onDatabases(method, body);

    const database = databases.get(databaseId);
    if (database === undefined) throw notFound();
    if (colls === undefined) return onDatabase(method, database);
    if (colls !== "colls") throw noRoute();
    if (containerId === undefined) return onContainers(method, database, body);

    const container = database.containers.get(containerId);
    if (container === undefined) throw notFound();
    if (leaf === undefined) return onContainer(method, database, container, body);
    if (leaf === "pkranges" && documentId === undefined) return onlyGet(method, partitionKeyRanges(container));
    if (leaf !== "docs") throw noRoute();

    const fault = faults.shift();
    if (fault !== undefined) throw fault;
    checkConsistency(header(request, "x-ms-consistency-level"));
    const answer =
      documentId === undefined
        ? onDocuments(request, container, body)
        : onDocument(request, container, documentId, body);
    return { ...answer, headers: { ...sessionHeaders(database, container), ...answer.headers } };
  }

  function onDatabases(method: string, body: string): Answer {
    if (method === "GET")
      return feed(
        "Databases",
        "",
        [...databases.values()].map(({ properties }) => properties),
      );
    if (method !== "POST") throw notAllowed();
    const { id } = readResource(body);
    if (databases.has(id)) throw alreadyThere();
    return { status: 201, body: addDatabase({ id }).properties };
  }

  function onDatabase(method: string, database: Database): Answer {
    if (method === "DELETE") {
      databases.delete(database.id);
      return { status: 204 };
    }
    return onlyGet(method, { status: 200, body: database.properties });
  }

  function onContainers(method: string, database: Database, body: string): Answer {
    if (method === "GET") {
      const definitions = [...database.containers.values()].map(({ definition }) => definition);
      return feed("DocumentCollections", database.rid.toString("base64"), definitions);
    }
    if (method !== "POST") throw notAllowed();
    const definition = readContainerDefinition(body);
    if (database.containers.has(definition.id)) throw alreadyThere();
    return { status: 201, body: addContainer(database, definition).definition };
  }

  function onContainer(method: string, database: Database, container: Container, body: string): Answer {
    if (method === "DELETE") {
      database.containers.delete(container.definition.id);
      return { status: 204 };
    }
    if (method === "PUT") {
      const { defaultTtl: _, ...kept } = container.definition;
      const definition = readContainerDefinition(body);
      if (definition.partitionKey.paths.join() !== kept.partitionKey.paths.join()) {
        throw new Fault(400, "Document collection partition key cannot be changed.");
      }
      container.definition = { ...kept, ...definition, _etag: newEtag(), _ts: seconds() };
      return { status: 200, body: container.definition };
    }
    return onlyGet(method, { status: 200, body: container.definition });
  }

  function onDocuments(request: IncomingMessage, container: Container, body: string): Answer {
    const { method = "" } = request;
    const isQuery = isQueryRequest(request);
    const partition = readPartition(request);
    if (isFlag(request, "x-ms-cosmos-is-query-plan-request")) return { status: 200, body: plan(parseJson(body)) };
    if (method === "GET") return page(request, container, container.list(partition));
    if (method !== "POST") throw notAllowed();
    if (isQuery) {
      const isOneRange =
        partition !== undefined || header(request, "x-ms-documentdb-partitionkeyrangeid") !== undefined;
      if (!isOneRange && !isFlag(request, "x-ms-documentdb-query-enablecrosspartition")) {
        throw new Fault(400, "Cross partition query is required but disabled.");
      }
      return page(request, container, query(parseJson(body), container, { partition, isOneRange }));
    }
    if (isFlag(request, "x-ms-cosmos-is-batch-request")) {
      if (!isFlag(request, "x-ms-cosmos-batch-atomic")) throw new Fault(400, "The stand-in has atomic batches only.");
      const { status, results } = container.batch(required(partition), parseJson(body));
      return { status, body: isMinimal(request) ? results.map(({ resourceBody: _, ...result }) => result) : results };
    }
    const kind = isFlag(request, "x-ms-documentdb-is-upsert") ? "Upsert" : "Create";
    const ifMatch = header(request, "if-match");
    const { status, document } = container.write(kind, required(partition), parseJson(body), { ifMatch });
    return written(request, status, document);
  }

  function onDocument(request: IncomingMessage, container: Container, id: string, body: string): Answer {
    const partition = required(readPartition(request));
    const ifMatch = header(request, "if-match");
    switch (request.method) {
      case "GET": {
        const document = container.find(partition, id);
        if (document === undefined) throw notFound();
        if (header(request, "if-none-match") === document._etag)
          return { status: 304, headers: { etag: document._etag } };
        return { status: 200, body: document, headers: { etag: document._etag } };
      }
      case "PUT": {
        const { status, document } = container.write("Replace", partition, parseJson(body), { ifMatch, id });
        return written(request, status, document);
      }
      case "DELETE":
        container.remove(partition, id, { ifMatch });
        return { status: 204 };
      default:
        throw notAllowed();
    }
  }

  function addDatabase({ id }: { id: string }): Database {
    const rid = childRid(Buffer.alloc(0), ++databasesCreated, 4);
    const properties = {
      id,
      _rid: rid,
      _self: `dbs/${rid}/`,
      _etag: newEtag(),
      _ts: seconds(),
      _colls: "colls/",
      _users: "users/",
    };
    const database = { id, rid: fromRid(rid), properties, containers: new Map(), created: 0 };
    databases.set(id, database);
    return database;
  }

  function addContainer(database: Database, definition: ContainerDefinition): Container {
    const rid = childRid(database.rid, ++database.created, 4);
    const self = `dbs/${database.properties._rid}/colls/${rid}/`;
    const container = createContainer(
      { ...definition, _rid: rid, _self: self, _etag: newEtag(), _ts: seconds(), _docs: "docs/", _sprocs: "sprocs/" },
      { rid: fromRid(rid), self, now },
    );
    database.containers.set(definition.id, container);
    return container;
  }

  function account(host = ""): Answer {
    // By the name that the client has for it, which in containers is not ours.
    const endpoint = `${tls === undefined ? "http" : "https"}://${host}/`;
    const locations = [{ name: "Loopback", databaseAccountEndpoint: endpoint }];
    return {
      status: 200,
      body: {
        // Not "localhost": @azure/cosmos then ignores the locations.
        id: "stand-in",
        _self: "",
        _rid: hostname,
        _dbs: "//dbs/",
        media: "//media/",
        addresses: "//addresses/",
        writableLocations: locations,
        readableLocations: locations,
        enableMultipleWriteLocations: false,
        userConsistencyPolicy: { defaultConsistencyLevel: consistency },
        queryEngineConfiguration: "{}",
      },
    };
  }

  function checkConsistency(level: string | undefined): void {
    if (level === undefined) return;
    const asked = consistencyLevels.indexOf(level);
    if (asked === -1) throw new Fault(400, `Consistency level ${level} specified in the request is invalid.`);
    if (asked < consistencyLevels.indexOf(consistency)) {
      throw new Fault(
        400,
        `ConsistencyLevel ${level} specified in the request is invalid when service is configured with consistency ` +
          `level ${consistency}. Ensure the request consistency level is not stronger than the service consistency level.`,
      );
    }
  }

  function seconds(): number {
    return Math.floor(now() / 1000);
  }
}

/** A page of documents or other rows. It goes on after the last one that the client has, deleted or not. */
function page(request: IncomingMessage, container: Container, rows: readonly unknown[]): Answer {
  const asked = Number(header(request, "x-ms-max-item-count") ?? -1);
  const size = asked > 0 ? asked : 100;
  const last = Number(header(request, "x-ms-continuation") ?? -1);
  if (!Number.isInteger(last)) throw new Fault(400, "Invalid continuation token.");
  const rest = rows.filter((row) => orderOf(row) > last);
  const answer = feed("Documents", String(container.definition._rid), rest.slice(0, size));
  if (rest.length <= size) return answer;
  return { ...answer, headers: { ...answer.headers, "x-ms-continuation": String(orderOf(rest[size - 1])) } };
}

/** Documents are numbered in their `_rid`; a row that is no document is the only one. */
function orderOf(row: unknown): number {
  return isObject(row) && typeof row._rid === "string" ? fromRid(row._rid).readUInt32LE(8) : 0;
}

function feed(name: string, rid: string, resources: readonly unknown[]): Answer {
  return {
    status: 200,
    body: { _rid: rid, [name]: resources, _count: resources.length },
    headers: { "x-ms-item-count": String(resources.length) },
  };
}

function partitionKeyRanges(container: Container): Answer {
  const range = { id: "0", minInclusive: "", maxExclusive: "FF", status: "online", throughputFraction: 1, parents: [] };
  return feed("PartitionKeyRanges", String(container.definition._rid), [range]);
}

function written(request: IncomingMessage, status: number, document: Document): Answer {
  const headers = { etag: document._etag };
  return isMinimal(request) ? { status, headers } : { status, body: document, headers };
}

/** Clients file the session token under the container's `_rid` and name. */
function sessionHeaders(database: Database, container: Container): Record<string, string> {
  const lsn = String(container.lsn());
  return {
    lsn,
    "x-ms-session-token": `0:-1#${lsn}`,
    "x-ms-content-path": String(container.definition._rid),
    "x-ms-alt-content-path": `dbs/${database.id}/colls/${container.definition.id}`,
  };
}

function record(request: IncomingMessage, status: number): RecordedRequest {
  return {
    method: request.method ?? "",
    path: request.url ?? "",
    status,
    isUpsert: isFlag(request, "x-ms-documentdb-is-upsert"),
    isBatch: isFlag(request, "x-ms-cosmos-is-batch-request"),
    isQuery: isQueryRequest(request),
    consistencyLevel: header(request, "x-ms-consistency-level"),
    partitionKey: header(request, "x-ms-documentdb-partitionkey"),
    ifMatch: header(request, "if-match"),
    sessionToken: header(request, "x-ms-session-token"),
  };
}

function readResource(body: string): JsonObject & { id: string } {
  const resource = parseJson(body);
  if (!isObject(resource) || typeof resource.id !== "string" || resource.id === "") {
    throw new Fault(400, "The input content is invalid because the required properties - 'id; ' - are missing");
  }
  return { ...resource, id: resource.id };
}

function readContainerDefinition(body: string): ContainerDefinition {
  const { defaultTtl, partitionKey, ...resource } = readResource(body);
  const paths: unknown = isObject(partitionKey) ? partitionKey.paths : undefined;
  if (!isObject(partitionKey) || !Array.isArray(paths) || paths.length !== 1 || !/^\/./.test(String(paths[0]))) {
    throw new Fault(400, "The partition key must have one path, such as /partitionKey.");
  }
  if (!isTtl(defaultTtl)) throw new Fault(400, "The input defaultTtl is invalid.");
  return {
    ...resource,
    partitionKey: { ...partitionKey, paths: [String(paths[0])] },
    ...(defaultTtl === undefined ? {} : { defaultTtl: Number(defaultTtl) }),
  };
}

/** `["a"]` in the header becomes `"a"`; non-ASCII characters are escaped there and are not in documents. */
function readPartition(request: IncomingMessage): Partition | undefined {
  const sent = header(request, "x-ms-documentdb-partitionkey");
  if (sent === undefined) return undefined;
  const values = parseJson(sent);
  if (!Array.isArray(values) || values.length !== 1) throw new Fault(400, "Partition key is invalid.");
  return JSON.stringify(values[0]);
}

function required(partition: Partition | undefined): Partition {
  if (partition === undefined) throw new Fault(400, "PartitionKey value must be supplied for this operation.");
  return partition;
}

function onlyGet(method: string, answer: Answer): Answer {
  if (method !== "GET") throw notAllowed();
  return answer;
}

function fromRid(rid: string): Buffer {
  return Buffer.from(rid.replaceAll("-", "/"), "base64");
}

function newEtag(): string {
  return `"${randomUUID()}"`;
}

function alreadyThere(): Fault {
  return new Fault(409, "Resource with specified id or name already exists.");
}

function noRoute(): Fault {
  return new Fault(404, "The requested resource does not exist.");
}

function notAllowed(): Fault {
  return new Fault(405, "The requested verb is not supported on this resource.");
}

if (import.meta.main) {
  const cosmos = await startCosmos({
    ...(process.env.HOST ? { host: process.env.HOST } : {}),
    port: Number(process.env.PORT ?? 8081),
  });
  console.log(`Cosmos DB stand-in, empty, with the emulator's key: ${cosmos.url}`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void cosmos.close());
}
