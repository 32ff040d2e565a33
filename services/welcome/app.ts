import type { Express, Response } from "express";
import type { Registry } from "prom-client";
import type { SidecarResponse } from "../dapr/client.ts";
import { keyOf } from "../dapr/key.ts";
import { addCommonRoutes, createServiceApp } from "../runtime/app.ts";
import { JSON_TYPE, readJsonText, send, TEXT_TYPE } from "../runtime/http.ts";
import { parseJson } from "../runtime/json.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import { traceOf } from "../runtime/trace.ts";
import type { Version } from "./api.ts";
import { readAssets } from "./assets.ts";
import type { WelcomeConfig } from "./config.ts";
import { checkServices } from "./health.ts";
import { openapi } from "./openapi.ts";
import { inspectSecret } from "./secret.ts";
import type { Sidecar } from "./sidecar.ts";

interface Welcome {
  readonly sidecar: Sidecar;
  readonly config: Pick<
    WelcomeConfig,
    | "HOST"
    | "WELCOME"
    | "MAX_BODY_BYTES"
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

const SECURITY_HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

/** Serves the message, the page, and the API of the page. openapi.ts describes the routes. */
export function createApp({ sidecar, config, log, register, ready }: Welcome): Express {
  const app = createServiceApp(register, config);
  const assets = readAssets();
  const version: Version = {
    message: config.WELCOME,
    version: config.CONTAINER_APP_REVISION || config.POD_TEMPLATE_HASH || "local",
    replica: config.CONTAINER_APP_REPLICA_NAME || config.HOSTNAME || "local",
  };

  app.use((_req, res, next) => {
    res.set(SECURITY_HEADERS);
    next();
  });
  app.use("/api", (_req, res, next) => {
    res.set("Cache-Control", "no-store");
    next();
  });

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
      headers: { "cache-control": req.get("Cache-Control") },
      trace: traceOf(req),
    });
    relay(res, "group-lister", response);
  });

  app.get("/api/state/:key", async (req, res) => {
    const response = await sidecar.invoke("state-api", `/state/${keyOf(req)}`, {
      trace: traceOf(req),
    });
    relay(res, "state-api", response);
  });

  app.put("/api/state/:key", async (req, res) => {
    const key = keyOf(req);
    const body = await readJsonText(req, config.MAX_BODY_BYTES);
    parseJson(body); // rejects bad JSON without a call; state-api receives the text as the caller sent it
    const response = await sidecar.invoke("state-api", `/state/${key}`, {
      method: "PUT",
      headers: { "if-match": req.get("If-Match"), "if-none-match": req.get("If-None-Match") },
      body,
      trace: traceOf(req),
    });
    relay(res, "state-api", response);
  });

  addCommonRoutes(app, { openapi, log, register, ready });
  return app;
}

/**
 * Relays the response of another service. Its problem details name the cause and the remedy better than welcome could.
 */
function relay(res: Response, appId: string, { statusCode, headers, text }: SidecarResponse): void {
  if (text !== "" && !/^application\/(problem\+)?json\b/.test(headers["content-type"] ?? "")) {
    throw new Problem(502, "bad-response", `${appId} did not return JSON`, {
      detail: `Check that the app id ${appId} belongs to the service of this suite.`,
    });
  }
  for (const name of ["content-type", "etag", "age", "retry-after", "sample-data"]) {
    const value = headers[name];
    if (value !== undefined) res.setHeader(name, value);
  }
  res.status(statusCode).end(text);
}
