import type { Express, Response } from "express";
import type { Registry } from "prom-client";
import type { SidecarResponse } from "../dapr/client.ts";
import { keyOf } from "../dapr/key.ts";
import { addCommonRoutes, createServiceApp } from "../runtime/app.ts";
import { JSON_TYPE, readJson, send, TEXT_TYPE } from "../runtime/http.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import { traceOf } from "../runtime/trace.ts";
import type { Version } from "./api.ts";
import { readAssets } from "./assets.ts";
import type { WelcomeConfig } from "./config.ts";
import { checkHealth } from "./health.ts";
import { openapi } from "./openapi.ts";
import { inspectSecret } from "./secret.ts";
import type { Sidecar } from "./sidecar.ts";

interface Welcome {
  readonly sidecar: Sidecar;
  readonly config: Pick<
    WelcomeConfig,
    | "WELCOME"
    | "SECRET_FILE"
    | "demosecret"
    | "CONTAINER_APP_REVISION"
    | "CONTAINER_APP_REPLICA_NAME"
    | "POD_TEMPLATE_HASH"
    | "HOSTNAME"
  >;
  readonly log: Logger;
  readonly register: Registry;
  /** Resolves when requests can be served; rejects with the reason when they cannot. */
  readonly ready: () => Promise<void>;
}

/** As much as the state API takes by default; it has the last word. */
const MAX_BODY_BYTES = 1_048_576;

const SECURITY_HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

/** The message, the page, and what the page asks for. Routes are described in openapi.ts. */
export function createApp({ sidecar, config, log, register, ready }: Welcome): Express {
  const app = createServiceApp(register);
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
      res.set("Cache-Control", "no-cache"); // another version of the service may answer the next time
      send(res, type, body);
    });
  }

  app.get("/api/version", (_req, res) => {
    // A browser that polls on one connection would stay with the pod at its other end, whatever the Service says by now.
    res.set("Connection", "close");
    send(res, JSON_TYPE, JSON.stringify(version));
  });

  app.get("/api/health", async (req, res) => {
    send(res, JSON_TYPE, JSON.stringify(await checkHealth(sidecar, traceOf(req).traceparent)));
  });

  app.get("/api/secret", async (_req, res) => {
    send(res, JSON_TYPE, JSON.stringify(await inspectSecret(config.SECRET_FILE, config.demosecret)));
  });

  app.get("/api/groups", async (req, res) => {
    const answer = await sidecar.invoke("group-lister", "/groupz?details=true", {
      headers: { "cache-control": req.get("Cache-Control") },
      traceparent: traceOf(req).traceparent,
    });
    relay(res, "group-lister", answer);
  });

  app.get("/api/state/:key", async (req, res) => {
    const answer = await sidecar.invoke("state-api", `/state/${keyOf(req)}`, {
      traceparent: traceOf(req).traceparent,
    });
    relay(res, "state-api", answer);
  });

  app.put("/api/state/:key", async (req, res) => {
    const answer = await sidecar.invoke("state-api", `/state/${keyOf(req)}`, {
      method: "PUT",
      headers: { "if-match": req.get("If-Match"), "if-none-match": req.get("If-None-Match") },
      body: JSON.stringify(await readJson(req, MAX_BODY_BYTES)),
      traceparent: traceOf(req).traceparent,
    });
    relay(res, "state-api", answer);
  });

  addCommonRoutes(app, { openapi, log, register, ready });
  return app;
}

/** Hands on what a service answered, problem details included: whoever knows what went wrong has said it best. */
function relay(res: Response, appId: string, { statusCode, headers, text }: SidecarResponse): void {
  if (text !== "" && !/^application\/(problem\+)?json\b/.test(headers["content-type"] ?? "")) {
    throw new Problem(502, "bad-answer", `${appId} did not answer with JSON`, {
      detail: `Does the app id ${appId} belong to this suite's service?`,
    });
  }
  for (const name of ["content-type", "etag", "age", "retry-after", "sample-data"]) {
    const value = headers[name];
    if (value !== undefined) res.setHeader(name, value);
  }
  res.status(statusCode).end(text);
}
