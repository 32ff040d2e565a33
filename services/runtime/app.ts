// The routes and error handling that all services share.
import express, { type Express, type RequestHandler } from "express";
import type { Registry } from "prom-client";
import { type Access, accessCheck } from "./access.ts";
import { JSON_TYPE, send, TEXT_TYPE } from "./http.ts";
import type { Logger } from "./log.ts";
import { requestMetrics, serveMetrics } from "./metrics.ts";
import { Problem, problemHandler } from "./problem.ts";
import { serveReadiness } from "./readiness.ts";

interface CommonRoutes {
  /** Served unchanged. The header `Allow` lists the methods described for a path, so describe all of them. */
  readonly openapi: { readonly paths: Readonly<Record<string, object>> };
  readonly config: MetricsConfig;
  readonly log: Logger;
  readonly register: Registry;
  /**
   * Resolves when requests can be served; rejects with the reason, as a Problem or any other Error, when they cannot.
   */
  readonly ready: () => Promise<void>;
}

interface MetricsConfig {
  /** Unless 0, another port serves the metrics, see `createMetricsApp`. */
  readonly METRICS_PORT: number;
}

/** An Express app that measures its requests and checks their callers. Add the service's own routes to it. */
export function createServiceApp(register: Registry, access: Access): Express {
  const app = createBareApp();
  const measure = requestMetrics(register);
  const checkAccess = accessCheck(access);
  // One middleware for both: Express takes 0.2 µs of CPU for each, and a get takes 30 µs.
  app.use((req, res, next) =>
    measure(req, res, () => {
      checkAccess(req);
      next();
    }),
  );
  return app;
}

function createBareApp(): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag"); // routes set the ETags that mean something
  return app;
}

/** Serves only the metrics. No caller has a token for it: the network decides who reaches METRICS_PORT. */
export function createMetricsApp(register: Registry, { HOST, ALLOWED_HOSTS }: Access, log: Logger): Express {
  const app = createBareApp();
  const checkAccess = accessCheck({ HOST, ALLOWED_HOSTS });
  app.use((req, _res, next) => {
    checkAccess(req);
    next();
  });
  app.get("/metrics", serveMetrics(register));
  app.use((req) => {
    throw new Problem(404, "no-such-route", `No route for ${req.path}`, { detail: "This port has only GET /metrics." });
  });
  app.use(problemHandler(log));
  return app;
}

/**
 * Call after adding the service's own routes. Adds liveness, readiness, metrics and the OpenAPI document; returns 405
 * for other methods of a described path, 404 for other paths, and problem details for errors.
 */
export function addCommonRoutes(app: Express, { openapi, config, log, register, ready }: CommonRoutes): void {
  const described = config.METRICS_PORT === 0 ? openapi : withoutMetrics(openapi);
  app.get("/healthz", (_req, res) => {
    send(res, TEXT_TYPE, "ok");
  });
  app.get("/readyz", serveReadiness(ready, log));
  if (config.METRICS_PORT === 0) app.get("/metrics", serveMetrics(register));
  app.get("/openapi.json", (_req, res) => {
    send(res, JSON_TYPE, JSON.stringify(described));
  });

  // Concrete paths before templated ones, as OpenAPI matches them.
  const paths = Object.entries(described.paths).sort(([a], [b]) => Number(a.includes("{")) - Number(b.includes("{")));
  for (const [path, item] of paths) app.all(path.replaceAll(/\{(\w+)\}/g, ":$1"), refuseMethod(methodsOf(item)));
  app.use((req) => {
    throw new Problem(404, "no-such-route", `No route for ${req.path}`, { detail: "See GET /openapi.json." });
  });
  app.use(problemHandler(log));
}

function withoutMetrics(openapi: CommonRoutes["openapi"]): CommonRoutes["openapi"] {
  const paths = Object.entries(openapi.paths).filter(([path]) => path !== "/metrics");
  return { ...openapi, paths: Object.fromEntries(paths) };
}

/** HTTP methods of an OpenAPI path item. Express serves HEAD wherever it serves GET. */
function methodsOf(item: object): string[] {
  const methods = Object.keys(item).filter((name) => name !== "parameters");
  return methods.flatMap((name) => (name === "get" ? ["GET", "HEAD"] : [name.toUpperCase()]));
}

function refuseMethod(methods: readonly string[]): RequestHandler {
  const allowed = methods.join(", ");
  return (req) => {
    throw new Problem(405, "method-not-allowed", `${req.path} does not accept ${req.method}`, {
      detail: `It accepts ${allowed}.`,
      headers: { Allow: allowed },
    });
  };
}
