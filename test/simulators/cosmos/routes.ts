import type { IncomingMessage } from "node:http";
import type { Account, Database } from "./account.ts";
import { type Access, authorize } from "./auth.ts";
import { type ConsistencyLevel, checkConsistency } from "./consistency.ts";
import { type Container, notFound } from "./container.ts";
import { onDocument, onDocuments } from "./documents.ts";
import { type CosmosResponse, Fault, methodNotAllowed, readHeader, readSegments } from "./http.ts";
import { onContainer, onContainers, onDatabase, onDatabases, onPartitionKeyRanges } from "./resources.ts";

export interface Service {
  account: Account;
  access: Access;
  consistency: ConsistencyLevel;
  scheme: "http" | "https";
  /** Errors to return to the next requests for documents, in this order. */
  faults: Fault[];
}

/**
 * Responds to one request.
 * @throws Fault for an error response.
 */
export function route(service: Service, request: IncomingMessage, body: string): CosmosResponse {
  const { account, access } = service;
  const { method = "", headers } = request;
  const segments = readSegments(request.url);
  authorize({ method, segments, authorization: headers.authorization, date: readHeader(request, "x-ms-date") }, access);

  const [dbs, databaseId, colls, containerId, ...rest] = segments;
  if (dbs === undefined) return describeAccount(service, method, headers.host);
  if (dbs !== "dbs") throw noRoute();
  if (databaseId === undefined) return onDatabases(method, account, body);

  const database = account.databases.get(databaseId);
  if (database === undefined) throw notFound();
  if (colls === undefined) return onDatabase(method, account, database);
  if (colls !== "colls") throw noRoute();
  if (containerId === undefined) return onContainers(method, account, database, body);

  const container = database.containers.get(containerId);
  if (container === undefined) throw notFound();
  const [leaf, documentId, ...beyond] = rest;
  if (beyond.length > 0) throw noRoute();
  if (leaf === undefined) return onContainer(method, account, database, container, body);
  if (leaf === "pkranges" && documentId === undefined) return onPartitionKeyRanges(method, container);
  if (leaf !== "docs") throw noRoute();

  const fault = service.faults.shift();
  if (fault !== undefined) throw fault;
  checkConsistency(readHeader(request, "x-ms-consistency-level"), service.consistency);
  const response =
    documentId === undefined ? onDocuments(request, container, body) : onDocument(request, container, documentId, body);
  return { ...response, headers: { ...createSessionHeaders(database, container), ...response.headers } };
}

function describeAccount({ access, consistency, scheme }: Service, method: string, host = ""): CosmosResponse {
  if (method !== "GET") throw methodNotAllowed();
  // Uses the host name of the request: in containers, clients reach the simulator by another name than its own.
  const locations = [{ name: "Loopback", databaseAccountEndpoint: `${scheme}://${host}/` }];
  return {
    status: 200,
    body: {
      id: "simulator", // with "localhost", @azure/cosmos ignores the locations
      _self: "",
      _rid: access.hostname,
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

/** Clients store the session token under the container's `_rid` and name. */
function createSessionHeaders(database: Database, container: Container): Record<string, string> {
  const lsn = String(container.lsn());
  return {
    lsn,
    "x-ms-session-token": `0:-1#${lsn}`,
    "x-ms-content-path": String(container.definition._rid),
    "x-ms-alt-content-path": `dbs/${database.id}/colls/${container.definition.id}`,
  };
}

function noRoute(): Fault {
  return new Fault(404, "The requested resource does not exist.");
}
