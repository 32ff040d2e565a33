// What every service has around its own routes.
import express, { type Express, type RequestHandler, type Response } from "express";
import type { Registry } from "prom-client";
import { JSON_TYPE, RETRY_SOON, send, TEXT_TYPE } from "./http.ts";
import type { Logger } from "./log.ts";
import { requestMetrics, serveMetrics } from "./metrics.ts";
import { Problem, problemHandler } from "./problem.ts";

interface CommonRoutes {
  /** The service's description, served as it is. Its paths also say which methods a route takes. */
  readonly openapi: { readonly paths: Readonly<Record<string, object>> };
  readonly log: Logger;
  readonly register: Registry;
  /** Resolves when requests can be served; rejects with the reason, as a Problem or any other Error, when they cannot. */
  readonly ready: () => Promise<void>;
}

/** An Express app that measures its requests, for a service to add its own routes to. */
export function createServiceApp(register: Registry): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag"); // where an answer has an ETag, it is one that means something
  app.use(requestMetrics(register));
  return app;
}

/**
 * Adds what comes after a service's own routes: liveness, readiness, metrics, the description, and an answer to
 * everything else: 405 for a known path, 404, and problem details for what was thrown.
 */
export function addCommonRoutes(app: Express, { openapi, log, register, ready }: CommonRoutes): void {
  app.get("/healthz", (_req, res) => {
    send(res, TEXT_TYPE, "ok");
  });
  app.get("/readyz", async (_req, res) => {
    await ready().catch((error) => {
      if (error instanceof Problem) throw error;
      throw new Problem(503, "not-ready", error.message, { headers: RETRY_SOON, cause: error });
    });
    send(res, TEXT_TYPE, "ok");
  });
  app.get("/metrics", serveMetrics(register));
  app.get("/openapi.json", (_req, res) => {
    send(res, JSON_TYPE, JSON.stringify(openapi));
  });

  // A path can match several patterns: /state/bulk is a route of its own and a key of /state/{key}.
  for (const [path, item] of Object.entries(openapi.paths)) {
    app.all(path.replaceAll(/\{(\w+)\}/g, ":$1"), addAllowed(methodsOf(item)));
  }
  app.use((req, res, next) => {
    const allowed = [...allowedMethods(res)].join(", ");
    if (allowed === "") return next();
    throw new Problem(405, "method-not-allowed", `${req.path} does not accept ${req.method}`, {
      detail: `It accepts ${allowed}.`,
      headers: { Allow: allowed },
    });
  });
  app.use((req) => {
    throw new Problem(404, "no-such-route", `There is no ${req.path} here`, {
      detail: "GET /openapi.json lists what is.",
    });
  });
  app.use(problemHandler(log));
}

/** Methods that the path of this request takes, as far as the patterns were compared with it. */
function allowedMethods(res: Response): Set<string> {
  res.locals.allowed ??= new Set<string>();
  return res.locals.allowed;
}

function addAllowed(methods: readonly string[]): RequestHandler {
  return (_req, res, next) => {
    for (const method of methods) allowedMethods(res).add(method);
    next();
  };
}

/** HTTP methods of an OpenAPI path item. Express serves HEAD wherever it serves GET. */
function methodsOf(item: object): string[] {
  const methods = Object.keys(item).filter((name) => name !== "parameters");
  return methods.flatMap((name) => (name === "get" ? ["GET", "HEAD"] : [name.toUpperCase()]));
}
