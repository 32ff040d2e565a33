// Routes to documents: https://learn.microsoft.com/rest/api/cosmos-db/documents
import type { IncomingMessage } from "node:http";
import { runBatch } from "./batch.ts";
import { type Container, notFound, type Partition } from "./container.ts";
import type { Document } from "./document.ts";
import {
  type CosmosResponse,
  createFeed,
  Fault,
  isFlag,
  isMinimal,
  isQueryRequest,
  methodNotAllowed,
  parseJson,
  readHeader,
} from "./http.ts";
import { isObject } from "./json.ts";
import { patch } from "./patch.ts";
import { planQuery, runQuery } from "./query.ts";
import { decodeRid } from "./rid.ts";

/** Lists, queries and writes documents, singly or in a batch. */
export function onDocuments(request: IncomingMessage, container: Container, body: string): CosmosResponse {
  const partition = readPartition(request);
  if (isFlag(request, "x-ms-cosmos-is-query-plan-request")) return { status: 200, body: planQuery(parseJson(body)) };
  if (request.method === "GET") return createPage(request, container, container.list(partition));
  if (request.method !== "POST") throw methodNotAllowed();
  if (isQueryRequest(request)) return onQuery(request, container, partition, body);
  if (isFlag(request, "x-ms-cosmos-is-batch-request")) return onBatch(request, container, required(partition), body);
  const kind = isFlag(request, "x-ms-documentdb-is-upsert") ? "Upsert" : "Create";
  const ifMatch = readHeader(request, "if-match");
  const { status, document } = container.write(kind, required(partition), parseJson(body), { ifMatch });
  return describeWritten(request, status, document);
}

function onQuery(
  request: IncomingMessage,
  container: Container,
  partition: Partition | undefined,
  body: string,
): CosmosResponse {
  const isOneRange =
    partition !== undefined || readHeader(request, "x-ms-documentdb-partitionkeyrangeid") !== undefined;
  if (!isOneRange && !isFlag(request, "x-ms-documentdb-query-enablecrosspartition")) {
    throw new Fault(400, "Cross partition query is required but disabled.");
  }
  const page = createPage(request, container, runQuery(parseJson(body), container, { partition, isOneRange }));
  if (!isFlag(request, "x-ms-documentdb-populatequerymetrics")) return page;
  return { ...page, headers: { ...page.headers, "x-ms-documentdb-query-metrics": "totalExecutionTimeInMs=1.00" } };
}

function onBatch(request: IncomingMessage, container: Container, partition: Partition, body: string): CosmosResponse {
  if (!isFlag(request, "x-ms-cosmos-batch-atomic")) {
    throw new Fault(400, "The simulator supports only atomic batches.");
  }
  const { status, results } = runBatch(container, partition, parseJson(body));
  return { status, body: isMinimal(request) ? results.map(({ resourceBody: _, ...result }) => result) : results };
}

/** Reads, replaces, patches and deletes one document. */
export function onDocument(request: IncomingMessage, container: Container, id: string, body: string): CosmosResponse {
  const partition = required(readPartition(request));
  const ifMatch = readHeader(request, "if-match");
  switch (request.method) {
    case "GET": {
      const document = container.find(partition, id);
      if (document === undefined) throw notFound();
      const headers = { etag: document._etag };
      if (readHeader(request, "if-none-match") === document._etag) return { status: 304, headers };
      return { status: 200, body: document, headers };
    }
    case "PUT": {
      const { status, document } = container.write("Replace", partition, parseJson(body), { ifMatch, id });
      return describeWritten(request, status, document);
    }
    case "PATCH": {
      const old = container.find(partition, id);
      if (old === undefined) throw notFound();
      const { status, document } = container.write("Replace", partition, patch(old, parseJson(body)), { ifMatch, id });
      return describeWritten(request, status, document);
    }
    case "DELETE":
      container.remove(partition, id, { ifMatch });
      return { status: 204 };
    default:
      throw methodNotAllowed();
  }
}

function describeWritten(request: IncomingMessage, status: number, document: Document): CosmosResponse {
  const headers = { etag: document._etag };
  return isMinimal(request) ? { status, headers } : { status, body: document, headers };
}

/** Returns one page of rows. A continuation token names the last row that the client has, so deletes skip nothing. */
function createPage(request: IncomingMessage, container: Container, rows: readonly unknown[]): CosmosResponse {
  const requested = Number(readHeader(request, "x-ms-max-item-count") ?? -1);
  const size = requested > 0 ? requested : 100;
  const last = Number(readHeader(request, "x-ms-continuation") ?? -1);
  if (!Number.isInteger(last)) throw new Fault(400, "Invalid continuation token.");
  const rest = rows.filter((row) => orderOf(row) > last);
  const feed = createFeed("Documents", String(container.definition._rid), rest.slice(0, size));
  if (rest.length <= size) return feed;
  return { ...feed, headers: { ...feed.headers, "x-ms-continuation": String(orderOf(rest[size - 1])) } };
}

/** Returns the number in a document's `_rid`. A row that is not a document is the only row of its query. */
function orderOf(row: unknown): number {
  return isObject(row) && typeof row._rid === "string" ? decodeRid(row._rid).readUInt32LE(8) : 0;
}

/** Converts `["a"]` in the header to `"a"`. The header escapes non-ASCII characters, documents do not. */
function readPartition(request: IncomingMessage): Partition | undefined {
  const header = readHeader(request, "x-ms-documentdb-partitionkey");
  if (header === undefined) return undefined;
  const values = parseJson(header);
  if (!Array.isArray(values) || values.length !== 1) throw new Fault(400, "Partition key is invalid.");
  return JSON.stringify(values[0]);
}

function required(partition: Partition | undefined): Partition {
  if (partition === undefined) throw new Fault(400, "PartitionKey value must be supplied for this operation.");
  return partition;
}
