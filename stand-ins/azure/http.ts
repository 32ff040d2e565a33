// Requests and responses as the stand-in's handlers see them, and the servers that carry them.
import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";

export interface AzureRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface AzureResponse {
  readonly status: number;
  /** A string is sent as text, anything else as JSON. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function readRequest(message: IncomingMessage, scheme: "http" | "https"): Promise<AzureRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return {
    method: message.method ?? "",
    // The client's name for this host, because links in responses start with it; in containers it is not 127.0.0.1.
    url: new URL(message.url ?? "", `${scheme}://${message.headers.host}`),
    headers: message.headers,
    body: Buffer.concat(chunks).toString(),
  };
}

export function writeResponse(response: ServerResponse, { status, body, headers = {} }: AzureResponse): void {
  const isText = typeof body === "string";
  response.writeHead(status, {
    "Content-Type": isText ? "text/plain; charset=utf-8" : "application/json; charset=utf-8",
    ...headers,
  });
  response.end(isText ? body : JSON.stringify(body));
}

/** Resolves with the port, which the system chooses when `port` is 0. */
export async function listen(server: Server, host: string, port: number): Promise<number> {
  // Node's default of 5 s sometimes closes a connection just as the client sends its next request.
  server.keepAliveTimeout = 120_000;
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
