import type { RequestHandler } from "express";
import { collectDefaultMetrics, Histogram, Registry } from "prom-client";
import { send } from "./http.ts";

/** Histogram buckets for durations, in seconds: from half a millisecond, as with a local sidecar, to the timeouts. */
export const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** A Prometheus registry with the metrics of the process, event loop lag included. */
export function createRegistry(): Registry {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
}

/**
 * Counts and times requests by method, route pattern and status; 499 when the caller disconnected before the response.
 */
export function requestMetrics(register: Registry): RequestHandler {
  const seconds = new Histogram({
    name: "http_request_duration_seconds",
    help: "Time from the request's headers to the end of the response",
    labelNames: ["method", "route", "status"],
    buckets: DURATION_BUCKETS,
    registers: [register],
  });
  return (req, res, next) => {
    const started = performance.now();
    res.once("close", () => {
      // The pattern, not the path: a label value for each key would grow without bound.
      const route = req.route?.path ?? "(none)";
      const status = res.writableFinished ? res.statusCode : 499;
      seconds.labels(req.method, route, String(status)).observe((performance.now() - started) / 1000);
    });
    next();
  };
}

export function serveMetrics(register: Registry): RequestHandler {
  return async (_req, res) => {
    send(res, register.contentType, await register.metrics());
  };
}
