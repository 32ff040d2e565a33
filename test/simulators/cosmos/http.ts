// Reads requests and writes responses: https://learn.microsoft.com/rest/api/cosmos-db/common-cosmosdb-rest-request-headers
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

const maximumBodyBytes = 2 * 1024 * 1024;

export interface CosmosResponse {
  status: number;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}

const names: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  409: "Conflict",
  412: "PreconditionFailed",
  413: "RequestEntityTooLarge",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
};

/** An error response. `x-ms-substatus` distinguishes errors with the same status.
 *  https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb */
export class Fault extends Error {
  readonly status: number;
  readonly substatus: number;
  readonly retryAfterMs: number | undefined;
  readonly details: Readonly<Record<string, string>>;

  constructor(status: number, message: string, { substatus = 0, retryAfterMs, details = {} }: FaultOptions = {}) {
    super(message);
    this.status = status;
    this.substatus = substatus;
    this.retryAfterMs = retryAfterMs;
    this.details = details;
  }

  toResponse(): CosmosResponse {
    const { status, substatus, retryAfterMs } = this;
    const retry = retryAfterMs === undefined ? {} : { "x-ms-retry-after-ms": String(retryAfterMs) };
    return {
      status,
      body: { code: names[status] ?? String(status), message: this.message, ...this.details },
      headers: { "x-ms-substatus": String(substatus), ...retry },
    };
  }
}

interface FaultOptions {
  substatus?: number;
  retryAfterMs?: number;
  /** More properties of the body. */
  details?: Readonly<Record<string, string>>;
}

export function sendResponse(response: ServerResponse, { status, body, headers = {} }: CosmosResponse): void {
  response.writeHead(status, {
    "content-type": "application/json",
    "x-ms-activity-id": randomUUID(),
    "x-ms-request-charge": "1",
    "x-ms-serviceversion": "version=2.14.0.0",
    "x-ms-gatewayversion": "version=2.14.0",
    "x-ms-version": "2020-07-15",
    ...headers,
  });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

/** Reads a body to its end even if it is too long: clients take a response before that for a broken connection. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= maximumBodyBytes) chunks.push(chunk);
  }
  if (bytes > maximumBodyBytes) throw new Fault(413, "Request size is too large");
  return Buffer.concat(chunks).toString();
}

/** @throws Fault 400 */
export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Fault(400, "The request payload is invalid. Ensure to provide a valid request payload.");
  }
}

/**
 * Splits a path into its decoded segments.
 * @throws Fault 400
 */
export function readSegments(url = ""): string[] {
  try {
    return url.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    throw new Fault(400, "The request has a malformed percent-encoding.");
  }
}

export function isQueryRequest(request: IncomingMessage): boolean {
  return readHeader(request, "content-type")?.startsWith("application/query+json") ?? false;
}

/** True when the client wants no document in the response. */
export function isMinimal(request: IncomingMessage): boolean {
  return readHeader(request, "prefer") === "return=minimal";
}

export function isFlag(request: IncomingMessage, name: string): boolean {
  return readHeader(request, name)?.toLowerCase() === "true";
}

export function readHeader({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** A list of resources, as Cosmos DB wraps it. */
export function createFeed(name: string, rid: string, resources: readonly unknown[]): CosmosResponse {
  return {
    status: 200,
    body: { _rid: rid, [name]: resources, _count: resources.length },
    headers: { "x-ms-item-count": String(resources.length) },
  };
}

export function methodNotAllowed(): Fault {
  return new Fault(405, "The requested verb is not supported on this resource.");
}
