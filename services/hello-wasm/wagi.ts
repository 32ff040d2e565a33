import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * Returns the environment variables that CGI and WAGI define for a request:
 * https://www.rfc-editor.org/rfc/rfc3875#section-4.1
 * @param route the pattern that the request matched, such as `/`
 */
export function cgiVariables(req: IncomingMessage, route: string): Record<string, string> {
  const { port } = req.socket.address() as AddressInfo;
  const host = req.headers.host ?? `127.0.0.1:${port}`;
  const url = req.url ?? "/";
  const query = url.indexOf("?");
  return {
    AUTH_TYPE: "",
    CONTENT_LENGTH: req.headers["content-length"] ?? "",
    CONTENT_TYPE: req.headers["content-type"] ?? "",
    GATEWAY_INTERFACE: "CGI/1.1",
    PATH_INFO: "",
    PATH_TRANSLATED: "",
    QUERY_STRING: query < 0 ? "" : url.slice(query + 1),
    REMOTE_ADDR: req.socket.remoteAddress ?? "",
    REMOTE_HOST: req.socket.remoteAddress ?? "",
    REMOTE_USER: "",
    REQUEST_METHOD: req.method ?? "",
    SCRIPT_NAME: route,
    SERVER_NAME: host.replace(/:\d+$/, ""),
    SERVER_PORT: String(port),
    SERVER_PROTOCOL: `HTTP/${req.httpVersion}`,
    SERVER_SOFTWARE: "WAGI/1",
    X_FULL_URL: `http://${host}${url}`,
    X_MATCHED_ROUTE: route,
    X_RAW_PATH_INFO: "",
    ...headerVariables(req.headersDistinct),
  };
}

/**
 * The headers that a module gets. Every other one is withheld, because no list of the headers that identify a caller is
 * complete: proxies add their own. `Proxy` would even become HTTP_PROXY, a setting of many programs: https://httpoxy.org
 */
const PASSED = [
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "host",
  "traceparent",
  "user-agent",
  "x-forwarded-host",
  "x-forwarded-proto",
] as const;

function headerVariables(headers: NodeJS.Dict<string[]>): Record<string, string> {
  return Object.fromEntries(
    PASSED.flatMap((name) => {
      const values = headers[name];
      return values ? [[`HTTP_${name.toUpperCase().replaceAll("-", "_")}`, values.join(", ")]] : [];
    }),
  );
}

/** Includes the empty line. Limits the time that a response takes in the host, where no timeout stops it. */
const MAX_HEAD_BYTES = 8_192;

/**
 * Splits the output of a CGI program into headers and body, in linear time. Uses only the Content-Type header.
 * @throws when there is no Content-Type, or no empty line after the headers within the first 8 KiB
 */
export function parseCgiResponse(output: Buffer): { type: string; body: Buffer } {
  const head = output.subarray(0, MAX_HEAD_BYTES);
  let type: string | undefined;
  for (let start = 0; ; ) {
    const end = head.indexOf("\n", start);
    if (end < 0) throw new Error(`the module printed no empty line within the first ${MAX_HEAD_BYTES} bytes`);
    const line = head.toString("latin1", start, end).replace(/\r$/, "");
    start = end + 1;
    if (line === "") {
      if (type === undefined) throw new Error("the module printed no Content-Type");
      return { type, body: output.subarray(start) };
    }
    type ??= contentType(line);
  }
}

/** The value of a Content-Type header; undefined for another header. @throws for characters that HTTP forbids */
function contentType(line: string): string | undefined {
  const colon = line.indexOf(":");
  if (line.slice(0, Math.max(colon, 0)).toLowerCase() !== "content-type") return undefined;
  const value = line.slice(colon + 1).trim();
  if (!/^[\x20-\x7e]+$/.test(value)) throw new Error("the module printed a malformed Content-Type");
  return value;
}
