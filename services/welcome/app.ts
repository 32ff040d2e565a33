import type { Express, Request, Response } from "express";
import type { Registry } from "prom-client";
import { Compile } from "typebox/schema";
import type { SidecarResponse } from "../dapr/client.ts";
import { keyOf } from "../dapr/key.ts";
import { addCommonRoutes, createServiceApp } from "../runtime/app.ts";
import { JSON_TYPE, readJsonText, send, TEXT_TYPE } from "../runtime/http.ts";
import { parseJson } from "../runtime/json.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import { traceOf } from "../runtime/trace.ts";
import type { SignInSettings, Version } from "./api.ts";
import { readAssets } from "./assets.ts";
import type { WelcomeConfig } from "./config.ts";
import { checkServices } from "./health.ts";
import { headerSchema, openapi, openapiWithSignIn } from "./openapi.ts";
import { inspectSecret } from "./secret.ts";
import type { Sidecar } from "./sidecar.ts";
import { PUBLIC_API, type SignIn } from "./sign-in.ts";

interface Welcome {
  readonly sidecar: Sidecar;
  /** Undefined: nobody has to sign in, and keys are not separated by user. */
  readonly signIn: SignIn | undefined;
  readonly config: Pick<
    WelcomeConfig,
    | "HOST"
    | "METRICS_PORT"
    | "ALLOWED_HOSTS"
    | "WELCOME"
    | "MAX_BODY_BYTES"
    | "INVOKE_TIMEOUT_MS"
    | "SECRET_FILE"
    | "demosecret"
    | "CONTAINER_APP_REVISION"
    | "CONTAINER_APP_REPLICA_NAME"
    | "POD_TEMPLATE_HASH"
    | "HOSTNAME"
  >;
  readonly log: Logger;
  readonly register: Registry;
  /** Resolves when the service can serve requests; rejects with the reason when it cannot. */
  readonly ready: () => Promise<void>;
}

/**
 * Maximum time to wait for the response to a write. A sidecar before Dapr 1.18 repeats a call 1 s after its connection
 * to the other sidecar broke, but no call that was canceled.
 */
const MAX_WRITE_MS = 950;

const securityHeaders = (signIn: SignIn | undefined) => {
  // The page redeems codes for tokens there.
  const entra = signIn ? ` ${new URL(signIn.settings.authority).origin}` : "";
  return {
    "Content-Security-Policy":
      `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'${entra}; ` +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  };
};

/** Serves the message, the page, and the API of the page. openapi.ts describes the routes. */
export function createApp({ sidecar, signIn, config, log, register, ready }: Welcome): Express {
  const app = createServiceApp(register, config);
  const assets = readAssets({ signIn: signIn !== undefined });
  const headers = securityHeaders(signIn);
  const version: Version = {
    message: config.WELCOME,
    version: config.CONTAINER_APP_REVISION || config.POD_TEMPLATE_HASH || "local",
    replica: config.CONTAINER_APP_REPLICA_NAME || config.HOSTNAME || "local",
  };

  app.use((_req, res, next) => {
    res.set(headers);
    next();
  });
  app.use("/api", (req, res, next) => {
    res.set("Cache-Control", "no-store");
    if (signIn && !PUBLIC_API.has(req.baseUrl + req.path)) return signIn.authenticate(req, res, next);
    next();
  });

  const prefixOf = (req: Request) => signIn?.prefixOf(req) ?? "";

  app.get("/", (req, res) => {
    res.set({ Vary: "Accept", "Cache-Control": "no-cache" });
    if (req.accepts(["text/plain", "text/html"]) === "text/html") send(res, assets.page.type, assets.page.body);
    else send(res, TEXT_TYPE, config.WELCOME);
  });
  for (const [path, { type, body }] of Object.entries(assets.others)) {
    app.get(path, (_req, res) => {
      res.set("Cache-Control", "no-cache"); // the next response may come from another version of the service
      send(res, type, body);
    });
  }

  app.get("/api/sign-in", (_req, res) => {
    const settings: SignInSettings = signIn?.settings ?? { required: false };
    send(res, JSON_TYPE, JSON.stringify(settings));
  });

  app.get("/api/version", (_req, res) => {
    // A browser that reuses its connection would keep polling the same pod after the Service switched to another.
    res.set("Connection", "close");
    send(res, JSON_TYPE, JSON.stringify(version));
  });

  app.get("/api/health", async (req, res) => {
    send(res, JSON_TYPE, JSON.stringify(await checkServices(sidecar, traceOf(req))));
  });

  app.get("/api/secret", async (_req, res) => {
    send(res, JSON_TYPE, JSON.stringify(await inspectSecret(config.SECRET_FILE, config.demosecret)));
  });

  app.get("/api/groups", async (req, res) => {
    const response = await sidecar.invoke("group-lister", "/groupz?details=true", {
      headers: { "cache-control": headerOf(req, "Cache-Control") },
      trace: traceOf(req),
    });
    relay(res, "group-lister", response);
  });

  app.get("/api/state/:key", async (req, res) => {
    const prefix = prefixOf(req);
    const key = keyOf(req, prefix);
    const response = await sidecar.invoke("state-api", `/state/${prefix}${key}`, { trace: traceOf(req) });
    relay(res, "state-api", hidePrefix(response, prefix, key));
  });

  app.put("/api/state/:key", async (req, res) => {
    const prefix = prefixOf(req);
    const key = keyOf(req, prefix);
    const body = await readJsonText(req, config.MAX_BODY_BYTES);
    parseJson(body); // rejects bad JSON without a call; state-api receives the text as the caller sent it
    const response = await sidecar.invoke("state-api", `/state/${prefix}${key}`, {
      method: "PUT",
      headers: { "if-match": headerOf(req, "If-Match"), "if-none-match": headerOf(req, "If-None-Match") },
      body,
      timeoutMs: Math.min(config.INVOKE_TIMEOUT_MS, MAX_WRITE_MS),
      trace: traceOf(req),
    });
    relay(res, "state-api", hidePrefix(response, prefix, key));
  });

  const document = signIn ? openapiWithSignIn(signIn.settings) : openapi;
  addCommonRoutes(app, { openapi: document, config, log, register, ready });
  return app;
}

const isHeader = Compile(headerSchema);

/**
 * A header to pass on. The sidecars would fail at one that is too long or has other characters.
 * @throws {Problem} 400
 */
function headerOf(req: Request, name: string): string | undefined {
  const value = req.get(name);
  if (value === undefined) return undefined;
  if (isHeader.Check(value)) return value.replaceAll("\t", " "); // sidecars reject a tab, which means the same
  throw new Problem(400, "bad-request", `${name} is malformed`, {
    detail: `Send at most ${headerSchema.maxLength} characters, all of them printable ASCII.`,
  });
}

/** Problem details of state-api name the key as it is stored. The caller gets the key that the request named. */
function hidePrefix(response: SidecarResponse, prefix: string, key: string): SidecarResponse {
  if (response.statusCode < 400) return response;
  // Splits at the stored key first, because the caller's key may itself contain the prefix.
  const parts = response.text.split(prefix + key).map((part) => part.replaceAll(prefix, ""));
  return { ...response, text: parts.join(key) };
}

/**
 * Relays the response of another service. Its problem details name the cause and the remedy better than welcome could.
 */
function relay(res: Response, appId: string, { statusCode, headers, text }: SidecarResponse): void {
  const type = headers["content-type"] ?? "";
  if (text !== "" && !/^application\/(problem\+)?json\b/.test(type)) {
    throw new Problem(502, "bad-response", `${appId} did not return JSON`, {
      detail: `Check that the app id ${appId} belongs to the service of this suite.`,
    });
  }
  for (const name of ["etag", "age", "retry-after", "sample-data"]) {
    const value = headers[name];
    if (value !== undefined) res.setHeader(name, value);
  }
  res.status(statusCode);
  if (text === "") res.end();
  else send(res, type, text);
}
