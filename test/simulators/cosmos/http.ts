// How a request is read and an answer is written: https://learn.microsoft.com/rest/api/cosmos-db/common-cosmosdb-rest-request-headers
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

const maximumBodyBytes = 2 * 1024 * 1024;

export interface Answer {
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

/** An answer other than success. `x-ms-substatus` tells apart what shares a status.
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

  get body(): Readonly<Record<string, string>> {
    return { code: names[this.status] ?? String(this.status), message: this.message, ...this.details };
  }
}

interface FaultOptions {
  substatus?: number;
  retryAfterMs?: number;
  /** Further properties of the body. */
  details?: Readonly<Record<string, string>>;
}

export function send(response: ServerResponse, { status, body, headers = {} }: Answer): void {
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

export function toAnswer(error: unknown): Answer {
  if (error instanceof URIError) return toAnswer(new Fault(400, "The request has a malformed percent-encoding."));
  if (!(error instanceof Fault)) throw error;
  const { status, body, substatus, retryAfterMs } = error;
  const retry = retryAfterMs === undefined ? {} : { "x-ms-retry-after-ms": String(retryAfterMs) };
  return { status, body, headers: { "x-ms-substatus": String(substatus), ...retry } };
}

/** Reads to the end even when it is too long: an answer in the middle of a request looks like a broken connection. */
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

export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Fault(400, "The request payload is invalid. Ensure to provide a valid request payload.");
  }
}

export function isQueryRequest(request: IncomingMessage): boolean {
  return header(request, "content-type")?.startsWith("application/query+json") ?? false;
}

export function isMinimal(request: IncomingMessage): boolean {
  return header(request, "prefer") === "return=minimal";
}

export function isFlag(request: IncomingMessage, name: string): boolean {
  return header(request, name)?.toLowerCase() === "true";
}

export function header({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}
