import type { AzureRequest } from "./http.ts";

/** The parts of Azure that the stand-in simulates. Tests can delay each one, or make it fail. */
export type Part = "identity" | "imds" | "entra" | "arm";

/** The part that a request is for; undefined for an unknown path. */
export function partOf({ url: { protocol, pathname } }: AzureRequest): Part | undefined {
  if (protocol === "https:") return /\/(oauth2|discovery|\.well-known)\//.test(pathname) ? "entra" : "arm";
  if (pathname === "/msi/token") return "identity";
  return /^\/metadata\/identity\/oauth2\/token\/?$/.test(pathname) ? "imds" : undefined;
}
