import type { Express } from "express";
import { Gauge, type Registry } from "prom-client";
import { addCommonRoutes, createServiceApp } from "../runtime/app.ts";
import { RETRY_SOON } from "../runtime/http.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import { openapi } from "./openapi.ts";
import { RunError, type Runner } from "./runner.ts";
import { cgiVariables, parseCgiAnswer } from "./wagi.ts";

interface HelloWasm {
  readonly runner: Runner;
  readonly log: Logger;
  readonly register: Registry;
  /** Resolves when requests can be served; rejects with the reason when they cannot. */
  readonly ready: () => Promise<void>;
}

/** A WAGI host: every request to the route runs the module once, with the request as its environment. */
export function createApp({ runner, log, register, ready }: HelloWasm): Express {
  const app = createServiceApp(register);
  new Gauge({
    name: "wasm_instances",
    help: "Instances of the module at work",
    registers: [register],
    collect() {
      this.set(runner.running());
    },
  });

  app.get("/", async (req, res) => {
    const { type, body } = await runner.run(cgiVariables(req, "/")).then(parseCgiAnswer).catch(failed);
    res.setHeader("X-Content-Type-Options", "nosniff"); // the body repeats what the caller sent
    res.writeHead(200, { "Content-Type": type, "Content-Length": body.length }).end(body);
  });

  addCommonRoutes(app, { openapi, log, register, ready });
  return app;
}

function failed(error: Error): never {
  switch (error instanceof RunError ? error.kind : "failed") {
    case "overloaded":
      throw new Problem(503, "overloaded", "Too many requests wait for the module", {
        detail: "Try again.",
        headers: RETRY_SOON,
        cause: error,
      });
    case "late":
      throw new Problem(504, "module-late", "The module took too long", {
        detail: "It was stopped. WASM_TIMEOUT_MS is what it may take.",
        cause: error,
      });
    case "failed":
      throw new Problem(502, "module-failed", "The module failed", {
        detail: "The log has the reason under this traceId.",
        cause: error,
      });
  }
}
