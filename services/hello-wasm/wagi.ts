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
 * A module gets no header of the connection, no `Proxy` (HTTP_PROXY is a setting of many programs: https://httpoxy.org)
 * and nothing that could identify the caller to someone else: no header with one of these words in its name, such as
 * Authorization, Cookie, dapr-api-token, X-MS-CLIENT-PRINCIPAL-ID or X-Api-Key.
 */
const WITHHELD =
  /^(connection|proxy)$|auth|cert|cookie|credential|csrf|jwt|key|passw|principal|secret|session|token|xsrf/;

function headerVariables(headers: NodeJS.Dict<string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      // CGI turns "-" into "_", so a header named with "_" could pass for the one with "-": drop it.
      .filter(([name]) => !WITHHELD.test(name) && !name.includes("_"))
      .map(([name, values = []]) => [`HTTP_${name.toUpperCase().replaceAll("-", "_")}`, values.join(", ")]),
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
