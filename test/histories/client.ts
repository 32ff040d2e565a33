// A client of the state API on node:http and raw sockets, so that it can leave and cut bodies. It never repeats a
// request.
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { field } from "../../services/runtime/field.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface ApiResponse {
  readonly status: number;
  readonly etag: string | undefined;
  readonly text: string;
}

/** No client waits longer; the service responds sooner. */
const TIMEOUT_MS = 5_000;

/** No response arrived. `sent` is false when the request cannot have reached the service. */
export class NoResponse extends Error {
  override readonly name = "NoResponse";
  readonly sent: boolean;
  constructor(sent: boolean, cause: unknown) {
    super("no response", { cause });
    this.sent = sent;
  }
}

export interface Client {
  /** @throws {NoResponse} */
  send(origin: string, request: ApiRequest): Promise<ApiResponse>;
  close(): void;
}

export function createClient(): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    send(origin, { method, path, headers = {}, body }) {
      return new Promise((resolve, reject) => {
        const text = body === undefined ? undefined : JSON.stringify(body);
        const sent = request(
          origin + path,
          { method, agent, timeout: TIMEOUT_MS, headers: { ...headers, ...describeBody(text) } },
          (response) => {
            let received = "";
            response.setEncoding("utf8");
            response.on("data", (chunk) => {
              received += chunk;
            });
            response.on("end", () => {
              const { statusCode: status = 0, headers } = response;
              if (response.complete) resolve({ status, etag: headers.etag, text: received });
              else reject(new NoResponse(true, "the response was cut"));
            });
            response.on("error", (cause) => reject(new NoResponse(true, cause)));
          },
        );
        sent.on("timeout", () => sent.destroy(new Error(`no response within ${TIMEOUT_MS} ms`)));
        sent.on("error", (cause) => reject(new NoResponse(field(cause, "code") !== "ECONNREFUSED", cause)));
        sent.end(text);
      });
    },
    close: () => agent.destroy(),
  };
}

/**
 * Sends a request, or only half of its body, and closes the connection after `afterMs` without reading the response.
 * Resolves with true when the connection was open and no response had arrived.
 */
export function abandon(origin: string, sent: ApiRequest, { half, afterMs }: { half: boolean; afterMs: number }) {
  return new Promise<boolean>((resolve) => {
    const { hostname, port, host } = new URL(origin);
    const text = JSON.stringify(sent.body);
    const headers = Object.entries({ ...sent.headers, ...describeBody(text), Host: host });
    const head = [`${sent.method} ${sent.path} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`)];
    const socket = connect(Number(port), hostname);
    let leftInTime = false;
    let answered = false;
    socket.on("connect", () => {
      socket.write(`${head.join("\r\n")}\r\n\r\n${half ? text.slice(0, text.length / 2) : text}`, () => {
        setTimeout(() => {
          leftInTime = !answered && !socket.destroyed;
          socket.destroy();
        }, afterMs);
      });
    });
    socket.on("data", () => {
      answered = true;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(leftInTime));
  });
}

function describeBody(text: string | undefined): Record<string, string> {
  return text === undefined
    ? {}
    : { "Content-Type": "application/json", "Content-Length": String(Buffer.byteLength(text)) };
}
