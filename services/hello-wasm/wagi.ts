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

/** Credentials, connection control, and `Proxy`: HTTP_PROXY is a setting of many programs (https://httpoxy.org). */
const WITHHELD = new Set(["authorization", "connection", "proxy", "proxy-authorization"]);

function headerVariables(headers: NodeJS.Dict<string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      // CGI turns "-" into "_", so a header named with "_" could pass for the one with "-": drop it.
      .filter(([name]) => !WITHHELD.has(name) && !name.includes("_"))
      .map(([name, values = []]) => [`HTTP_${name.toUpperCase().replaceAll("-", "_")}`, values.join(", ")]),
  );
}

/**
 * Splits the output of a CGI program into headers and body. Uses only the Content-Type header.
 * @throws when there is no Content-Type, or no empty line after the headers
 */
export function parseCgiResponse(output: Buffer): { type: string; body: Buffer } {
  const end = /\r?\n\r?\n/.exec(output.toString("latin1"));
  if (!end) throw new Error("the module printed no empty line after its headers");
  const head = output.subarray(0, end.index).toString("latin1");
  const type = /^content-type:[ \t]*([\x20-\x7e]+?)[ \t]*\r?$/im.exec(head)?.[1];
  if (!type) throw new Error("the module printed no Content-Type");
  return { type, body: output.subarray(end.index + end[0].length) };
}
