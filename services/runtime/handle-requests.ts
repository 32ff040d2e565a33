import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Maximum number of requests of a connection that wait for the response to an earlier one. Node calls the listener for
 * each request that it reads, so a client that pipelines could hold thousands: a request takes 20 bytes to send and
 * more than 10 kB to serve. Browsers, sidecars and gateways send a request after the response to the one before.
 * Clients that do not must expect that the server closes the connection: RFC 9112 §9.3.2.
 */
const MAX_WAITING = 1;
/** The objects of 1,200 headers, as many as Node accepts, take 200 kB. */
const MAX_HEADERS = 100;
/**
 * Options of a server: a request that exceeds one of them gets 408. Node's own are 5 minutes for a request, 1 minute
 * for its headers, and a check every 30 s: https://nodejs.org/api/http.html#httpcreateserveroptions-requestlistener
 */
export const TIMEOUTS = { requestTimeout: 10_000, headersTimeout: 5_000, connectionsCheckingInterval: 1_000 };
/** The property of a connection that holds the number of its waiting requests. */
const WAITING = Symbol("waiting");
type OnIncoming = (req: IncomingMessage, keepAlive: boolean) => number;
/** What `onIncoming` returns to the parser for a request whose body it shall not read. */
const SKIP_BODY = 2;

/**
 * Calls `handle` for the requests of `server`, and bounds how many a connection can hold, and how large they are. Also
 * for one with an unknown `Expect`, to which Node would respond itself, without the checks of `handle`.
 */
export function handleRequests(server: Server, handle: RequestListener): void {
  server.maxHeadersCount = MAX_HEADERS;
  const listener: RequestListener = (req, res) => {
    // Node gives the connection to one response at a time.
    if (res.socket === null && !mayWait(req.socket, res)) return;
    // Node drops the headers above the maximum. A write whose If-Match is among them must not become unconditional.
    if (req.rawHeaders.length >= 2 * MAX_HEADERS) res.writeHead(431, { Connection: "close" }).end();
    else handle(req, res);
  };
  server.on("connection", ignoreRequestsAfterClose);
  server.on("request", listener);
  server.on("checkExpectation", listener);
}

/** Counts a waiting request. If it is one too many, closes the connection and returns false. */
function mayWait(connection: Socket & { [WAITING]?: number }, res: ServerResponse): boolean {
  const waiting = (connection[WAITING] ?? 0) + 1;
  if (waiting > MAX_WAITING) connection.destroy();
  if (connection.destroyed) return false;
  connection[WAITING] = waiting;
  res.once("close", () => {
    connection[WAITING] = (connection[WAITING] ?? 0) - 1;
  });
  return true;
}

/**
 * Node parses all that it has received of a connection, up to 64 KiB at once, also after `destroy`: 1,640 requests and
 * 16 MB of responses that nobody gets. Tens of such connections at one moment would fill the heap. `onIncoming` creates
 * the response; it is not documented (lib/_http_server.js of Node 20 to 26), so the services also work without it.
 */
function ignoreRequestsAfterClose(connection: Socket & { parser?: { onIncoming?: OnIncoming } }): void {
  const { parser } = connection;
  const onIncoming = parser?.onIncoming;
  if (!parser || !onIncoming) return;
  parser.onIncoming = (req, keepAlive) => (connection.destroyed ? SKIP_BODY : onIncoming(req, keepAlive));
}
