// Requests and responses as the stand-in's handlers see them, and the servers that carry them. Whatever a client sends,
// even a web page that the user has open, the process goes on.
import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import { handleRequests, SERVER_OPTIONS } from "../../services/runtime/handle-requests.ts";

export interface AzureRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface AzureResponse {
  /** 0: the connection ends without a response. */
  readonly status: number;
  /** A string is sent as text, anything else as JSON. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Limits {
  /** Names that the Host header may have, with any port. */
  readonly hostNames: readonly string[];
  readonly maximumBodyBytes: number;
}

type Scheme = "http" | "https";

/** Resolves with undefined when the client is to get no response. */
type Respond = (request: AzureRequest) => Promise<AzureResponse | undefined>;

/** A request that no handler gets to see. */
class RejectedRequest extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function createHttpServer(limits: Limits, respond: Respond): Server {
  return bounded(createServer(SERVER_OPTIONS), listener("http", limits, respond));
}

export function createHttpsServer(keys: { key: string; cert: string }, limits: Limits, respond: Respond): Server {
  return bounded(createTlsServer({ ...keys, ...SERVER_OPTIONS }), listener("https", limits, respond));
}

function bounded<S extends Server>(server: S, handle: RequestListener): S {
  handleRequests(server, handle);
  server.maxConnections = 256;
  // Node's default of 5 s sometimes closes a connection just as the client sends its next request.
  server.keepAliveTimeout = 120_000;
  return server;
}

function listener(scheme: Scheme, limits: Limits, respond: Respond): RequestListener {
  return async (message, response) => {
    try {
      const result = await respond(await readRequest(message, scheme, limits));
      if (result) writeResponse(response, result);
    } catch (error) {
      if (message.destroyed && !message.complete) return; // the client has gone
      writeFailure(response, error);
    }
  };
}

async function readRequest(message: IncomingMessage, scheme: Scheme, limits: Limits): Promise<AzureRequest> {
  const { method = "", url: target = "", headers } = message;
  checkHost(headers.host, limits);
  const { host = "" } = headers;
  return {
    method,
    // The client's name for this host, because links in responses start with it; in containers it is not 127.0.0.1.
    url: readUrl(`${scheme}://${host}`, target),
    headers,
    body: await readBody(message, limits.maximumBodyBytes),
  };
}

/**
 * Stops DNS rebinding: a page whose name now resolves to 127.0.0.1 could otherwise read the responses.
 *
 * @throws {RejectedRequest}
 */
function checkHost(host: string | undefined, { hostNames }: Limits): void {
  const [, name = ""] = /^(.+?)(?::\d+)?$/.exec(host ?? "") ?? [];
  if (hostNames.includes(name.toLowerCase())) return;
  const message = `The Host header does not name this server. Call it as one of: ${hostNames.join(", ")}.`;
  throw new RejectedRequest(421, message);
}

/** @throws {RejectedRequest} for a target that is no path, such as `//` or `*`, or whose path cannot be decoded */
function readUrl(origin: string, target: string): URL {
  const url = /^\/(?!\/)/.test(target) ? URL.parse(origin + target) : null;
  if (url && isDecodable(url.pathname)) return url;
  throw new RejectedRequest(400, "The request target is malformed.");
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

async function readBody(message: IncomingMessage, maximumBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = Number(message.headers["content-length"] ?? 0);
  const check = () => {
    if (bytes > maximumBytes) throw new RejectedRequest(413, `The body exceeds the maximum of ${maximumBytes} bytes.`);
  };
  check();
  bytes = 0;
  // Without this option, an error in the loop would close the connection before the response is sent.
  for await (const chunk of message.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length;
    check();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function writeResponse(response: ServerResponse, { status, body, headers = {} }: AzureResponse): void {
  if (status === 0) {
    response.destroy();
    return;
  }
  const isText = typeof body === "string";
  response.writeHead(status, {
    "Content-Type": isText ? "text/plain; charset=utf-8" : "application/json; charset=utf-8",
    ...headers,
  });
  response.end(isText ? body : JSON.stringify(body));
}

/** Closes the connection, because the rest of the request may be unread. */
function writeFailure(response: ServerResponse, error: unknown): void {
  const isRejected = error instanceof RejectedRequest;
  if (!isRejected) console.error("A request failed:", error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = isRejected ? error.message : "The stand-in failed to handle the request.";
  writeResponse(response, { status: isRejected ? error.status : 500, body, headers: { Connection: "close" } });
}

/** Resolves with the port, which the system chooses when `port` is 0. */
export async function listen(server: Server, host: string, port: number): Promise<number> {
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return address.port;
}

/** Closes the server and its open connections. */
export async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
