// Who may call a service. On loopback: any program on the machine, but no web page whose name resolves to 127.0.0.1. On
// any other address: a caller with the token of the service's own sidecar, unless DIRECT_CALLS=anywhere.
import { timingSafeEqual } from "node:crypto";
import type { Request } from "express";
import { type Config, ConfigError, type commonVariables, TOKEN_PATTERN, type Variable } from "./config.ts";
import { isLoopback } from "./loopback.ts";
import { Problem } from "./problem.ts";

export const directCallVariables = {
  DIRECT_CALLS: {
    type: "string",
    enum: ["loopback", "anywhere"],
    default: "loopback",
    description:
      "When to serve calls without a token or sign-in: loopback: if HOST is a loopback address; anywhere: always",
  },
} as const satisfies Record<string, Variable>;

/** For the services that other services call through their sidecar. */
export const callerVariables = {
  APP_API_TOKEN: {
    type: "string",
    pattern: TOKEN_PATTERN,
    default: "",
    writeOnly: true,
    description: "Token that the service's own sidecar sends with each call; npm start and Container Apps set it",
  },
  ALLOWED_CALLERS: {
    type: "string",
    pattern: "^[A-Za-z0-9.-]+(,[A-Za-z0-9.-]+)*$",
    default: "welcome",
    description: "Dapr app ids that may call through their sidecars, separated by commas; needs APP_API_TOKEN",
  },
  ...directCallVariables,
} as const satisfies Record<string, Variable>;

type Names = Pick<Config<typeof commonVariables>, "HOST" | "ALLOWED_HOSTS">;
type Callers = Pick<Names, "HOST"> & Config<typeof callerVariables>;

/** The settings that `createServiceApp` needs; a service whose callers are not checked has only the names. */
export type Access = Names | (Names & Callers);

export const TOKEN_REMEDY = "APP_API_TOKEN to the token of the service's sidecar";

/**
 * @param protection the setting that makes the service check its callers; empty: it does not check them
 * @param remedy what to set for that
 * @throws {ConfigError} when other machines could call a service that does not check its callers, and DIRECT_CALLS does
 * not allow that
 */
export function refuseOpenAddress(
  { HOST, DIRECT_CALLS }: Pick<Names, "HOST"> & Config<typeof directCallVariables>,
  protection: string,
  remedy: string,
): void {
  if (protection !== "" || isLoopback(HOST) || DIRECT_CALLS === "anywhere") return;
  throw new ConfigError(
    `HOST=${JSON.stringify(HOST)} is not a loopback address, and nothing checks who calls the service.\n` +
      `  Set ${remedy}; or set HOST=127.0.0.1;\n` +
      "  or set DIRECT_CALLS=anywhere if the network around the service decides who may call it.",
  );
}

type Check = (req: Request) => void;

/** Returns a function that throws a Problem for a request that must not be served. */
export function accessCheck(access: Access): Check {
  const checkHost = hostCheck(access);
  const checkCaller = "APP_API_TOKEN" in access && access.APP_API_TOKEN !== "" ? callerCheck(access) : () => {};
  return (req) => {
    checkHost(req);
    checkCaller(req);
  };
}

/**
 * Stops DNS rebinding: a page of evil.example whose name now resolves to 127.0.0.1 has the same origin as the service,
 * so the browser lets it read and write, but sends the page's name as Host.
 */
function hostCheck({ HOST, ALLOWED_HOSTS }: Names): Check {
  const names = ALLOWED_HOSTS || (isLoopback(HOST) ? "127.0.0.1,localhost,[::1]" : "");
  if (names === "") return () => {};
  const allowed = new RegExp(`^(${names.split(",").map(RegExp.escape).join("|")})(:\\d+)?$`, "i");

  return (req) => {
    // The target of a request to a proxy is a URL, which takes precedence over the header: RFC 9112 §3.2.2.
    const host = req.url.startsWith("/") ? req.headers.host : (URL.parse(req.url)?.host ?? req.headers.host);
    if (host !== undefined && allowed.test(host)) return;
    throw new Problem(421, "wrong-host", "The Host header does not name this service", {
      detail: `Call the service as ${names.replaceAll(",", ", ")}, or add the name to ALLOWED_HOSTS.`,
    });
  };
}

/** Platforms call these without a token. Their responses contain nothing secret. */
const PROBES: ReadonlySet<string> = new Set(["/healthz", "/readyz"]);

/**
 * A request with the token comes from the service's own sidecar, whose `dapr-caller-app-id` names the app that called
 * it. daprd 1.18.2 appends its own value to one that the caller sends, and Node joins the two, so a forged name matches
 * none. https://docs.dapr.io/operations/security/app-api-token/
 */
function callerCheck(access: Callers): Check {
  const isToken = createComparison(access.APP_API_TOKEN);
  const allowed: ReadonlySet<unknown> = new Set(access.ALLOWED_CALLERS.split(","));
  const servesDirectCalls = access.DIRECT_CALLS === "anywhere" || isLoopback(access.HOST);

  return (req) => {
    if (PROBES.has(req.url)) return;
    const sent = req.headers["dapr-api-token"];
    if (sent === undefined) {
      if (servesDirectCalls) return;
      throw new Problem(401, "no-token", "The request has no token", unauthorized);
    }
    if (!isToken(String(sent))) {
      throw new Problem(401, "wrong-token", "The token is not that of the service's sidecar", unauthorized);
    }
    const caller = req.headers["dapr-caller-app-id"];
    if (!allowed.has(caller)) {
      throw new Problem(403, "caller-not-allowed", `The app ${caller ?? "without an id"} may not call this service`, {
        detail: "Add its Dapr app id to ALLOWED_CALLERS of the service.",
      });
    }
  };
}

const unauthorized = {
  detail: "Call through a Dapr sidecar. Give the service and its sidecar the same APP_API_TOKEN.",
  headers: { "WWW-Authenticate": "dapr-api-token" }, // RFC 9110 §15.5.2 requires the header
};

/**
 * Returns a comparison with `secret` that takes the same time for every wrong text of the right length, which is no
 * secret. A buffer for each request instead of one for all would double the time of the checks.
 */
function createComparison(secret: string): (header: string) => boolean {
  const expected = Buffer.from(secret);
  const sent = Buffer.alloc(expected.length);
  return (header) => {
    if (header.length !== expected.length) return false; // a header has one character for each byte
    sent.write(header, "latin1");
    return timingSafeEqual(sent, expected);
  };
}
