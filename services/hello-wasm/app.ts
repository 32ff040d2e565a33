import type { Express } from "express";
import { Gauge, type Registry } from "prom-client";
import type { Access } from "../runtime/access.ts";
import { addCommonRoutes, createServiceApp } from "../runtime/app.ts";
import { RETRY_SOON } from "../runtime/http.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import { openapi } from "./openapi.ts";
import { RunError, type Runner } from "./runner.ts";
import { cgiVariables, parseCgiResponse } from "./wagi.ts";

interface HelloWasm {
  readonly runner: Runner;
  readonly config: Access & { readonly METRICS_PORT: number };
  readonly log: Logger;
  readonly register: Registry;
  /** Resolves when the service can serve requests; rejects with the reason when it cannot. */
  readonly ready: () => Promise<void>;
}

/** A WAGI host: each request runs the module once and passes the request to it as environment variables. */
export function createApp({ runner, config, log, register, ready }: HelloWasm): Express {
  const app = createServiceApp(register, config);
  new Gauge({
    name: "wasm_instances",
    help: "Instances of the module that are running",
    registers: [register],
    collect() {
      this.set(runner.running());
    },
  });

  app.get("/", async (req, res) => {
    const { type, body } = await runner.run(cgiVariables(req, "/")).then(parseCgiResponse).catch(throwProblem);
    res.setHeader("X-Content-Type-Options", "nosniff"); // the body echoes the request
    res.writeHead(200, { "Content-Type": type, "Content-Length": body.length }).end(body);
  });

  addCommonRoutes(app, { openapi, config, log, register, ready });
  return app;
}

function throwProblem(error: Error): never {
  switch (error instanceof RunError ? error.kind : "failed") {
    case "overloaded":
      throw new Problem(503, "overloaded", "Too many requests are waiting for the module", {
        detail: "Retry after a second.",
        headers: RETRY_SOON,
        cause: error,
      });
    case "timeout":
      throw new Problem(504, "module-timeout", "The module timed out", {
        detail: "The module was stopped. WASM_TIMEOUT_MS sets the limit.",
        cause: error,
      });
    case "failed":
      throw new Problem(502, "module-failed", "The module failed", {
        detail: "The log has the reason; search it for this traceId.",
        cause: error,
      });
  }
}
