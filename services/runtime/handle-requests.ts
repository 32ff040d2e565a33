import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** The objects of 1,200 headers, as many as Node accepts, take 200 kB. */
const MAX_HEADERS = 100;
/**
 * Options of a server: a request that exceeds one of them gets 408. Node's own are 5 minutes for a request, 1 minute
 * for its headers, and a check every 30 s: https://nodejs.org/api/http.html#httpcreateserveroptions-requestlistener
 */
export const TIMEOUTS = { requestTimeout: 10_000, headersTimeout: 5_000, connectionsCheckingInterval: 1_000 };
/** Connections with a request that waits for the response to an earlier one. */
const waiting = new WeakSet<Socket>();
type OnIncoming = (req: IncomingMessage, keepAlive: boolean) => number;
/** What `onIncoming` returns to the parser to make it skip the body of a request. */
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

/**
 * Lets one request of a connection wait. For a second one it closes the connection and returns false. Node calls the
 * listener for each request that it reads, so a client that pipelines could hold thousands: a request takes 20 bytes to
 * send and more than 10 kB to serve. Browsers, sidecars and gateways send a request after the response to the one
 * before. Clients that do not must expect that the server closes the connection: RFC 9112 §9.3.2.
 */
function mayWait(connection: Socket, res: ServerResponse): boolean {
  if (waiting.has(connection)) connection.destroy();
  if (connection.destroyed) return false;
  waiting.add(connection);
  res.once("close", () => waiting.delete(connection));
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
