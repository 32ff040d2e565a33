import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** The objects of 1,200 headers, as many as Node accepts, take 200 kB. */
const MAX_HEADERS = 100;
/**
 * Options of a server whose requests `handleRequests` handles. A request that exceeds a time gets 408. Node's own times
 * are 5 minutes for a request, 1 minute for its headers, and a check every 30 s. Node would respond to a request
 * without a Host header itself, without the checks of the listener.
 * https://nodejs.org/api/http.html#httpcreateserveroptions-requestlistener
 */
export const SERVER_OPTIONS = {
  requestTimeout: 10_000,
  headersTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  requireHostHeader: false,
};
/** The last response of a connection that had to wait for an earlier one, until it is closed. */
const waiting = new WeakMap<Socket, ServerResponse>();

/**
 * Calls `handle` for the requests of `server`, and bounds how many a connection can hold, and how large they are. Also
 * for one with an unknown `Expect`, to which Node would respond itself, without the checks of `handle`.
 */
export function handleRequests(server: Server, handle: RequestListener): void {
  server.maxHeadersCount = MAX_HEADERS;
  const refuse = (res: ServerResponse, status: number) => res.writeHead(status, { Connection: "close" }).end();
  const listener: RequestListener = (req, res) => {
    if (isWaiting(res) && !mayWait(req.socket, res)) return;
    // RFC 9112 §3.2 requires the 400.
    if (req.headers.host === undefined && req.httpVersion === "1.1") refuse(res, 400);
    // Node drops the headers above the maximum. A write whose If-Match is among them must not become unconditional.
    else if (req.rawHeaders.length >= 2 * MAX_HEADERS) refuse(res, 431);
    else handle(req, res);
  };
  // The connections of HTTP and those of HTTPS.
  for (const event of ["connection", "secureConnection"]) server.on(event, stopParsingAfterClose);
  server.on("request", listener);
  server.on("checkExpectation", listener);
}

/** Node gives the connection to one response at a time. */
function isWaiting(res: ServerResponse): boolean {
  return res.socket === null;
}

/**
 * Lets one response of a connection wait. For a second one it closes the connection and returns false. Node calls the
 * listener for each request that it reads, so a client that pipelines could hold thousands: a request takes 20 bytes to
 * send and more than 10 kB to serve. Browsers, sidecars and gateways send a request after the response to the one
 * before. Clients that do not must expect that the server closes the connection: RFC 9112 §9.3.2.
 */
function mayWait(connection: Socket, res: ServerResponse): boolean {
  const other = waiting.get(connection);
  if (other && isWaiting(other)) connection.destroy();
  if (connection.destroyed) return false;
  waiting.set(connection, res);
  res.once("close", () => {
    if (waiting.get(connection) === res) waiting.delete(connection);
  });
  return true;
}

type OnIncoming = (req: IncomingMessage & { upgrade?: boolean }, keepAlive: boolean) => number;
/** Returned by `onIncoming`. For 1, the parser would go on with the body of the request as if it were a request. */
const STOP_PARSING = 2;

/**
 * Also after `destroy`, Node parses all that it has received of a connection, up to 64 KiB, and creates a response for
 * each of 1,640 requests, which take 16 MB. With a heap of 128 MiB, 40 such connections at one moment end the process.
 *
 * `onIncoming` is where Node creates the response. Nothing documents it, so after an update of Node
 * test/services/memory.test.ts shows whether it still bounds the memory; the services work without it.
 */
function stopParsingAfterClose(connection: Socket & { parser?: { onIncoming?: OnIncoming } }): void {
  const { parser } = connection;
  const onIncoming = parser?.onIncoming;
  if (!parser || !onIncoming) return;
  parser.onIncoming = (req, keepAlive) => {
    // Node does this, too, but after it has forgotten the waiting responses.
    if (req.method === "CONNECT") connection.destroy();
    if (!connection.destroyed) return onIncoming(req, keepAlive);
    // Node stops watching a connection that is upgraded, so the responses that wait would never be closed.
    req.upgrade = false;
    return STOP_PARSING;
  };
}
