import { isIPv4 } from "node:net";

/** Whether only this computer reaches a host, of a URL or to listen on. */
export function isLoopback(host: string): boolean {
  return ["localhost", "::1", "[::1]"].includes(host) || (isIPv4(host) && host.startsWith("127."));
}

/** Allows http only on loopback: anyone who reads a token or a signature in clear text can use it. */
export function isSafe(endpoint: string): boolean {
  const url = URL.parse(endpoint);
  return url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url.hostname));
}
