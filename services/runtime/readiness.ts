import type { RequestHandler } from "express";
import { field } from "./field.ts";
import { RETRY_SOON, send, TEXT_TYPE } from "./http.ts";
import type { Logger } from "./log.ts";
import { Problem, sendProblem } from "./problem.ts";
import { traceOf } from "./trace.ts";

/**
 * Handles GET /readyz: 200, or 503 with the reason for which `ready` rejects. Probes repeat, so each reason is logged
 * as one warning, not as an error with a stack for every request; the next success is logged too.
 */
export function serveReadiness(ready: () => Promise<void>, log: Logger): RequestHandler {
  let reason: string | undefined;
  return async (req, res) => {
    try {
      await ready();
    } catch (error) {
      const problem = toProblem(error);
      const { message, status, detail } = problem;
      // `detail` is no part of the reason: it may have an id or a time that differs in each response.
      if (reason !== message) {
        const details = field(problem.cause, "details"); // callers do not see them
        log.warn({ traceId: traceOf(req).id, status, detail, details }, `not ready: ${message}`);
      }
      reason = message;
      sendProblem(res, problem);
      return;
    }
    if (reason !== undefined) log.info("ready");
    reason = undefined;
    send(res, TEXT_TYPE, "ok");
  };
}

function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Problem(503, "not-ready", message, { headers: RETRY_SOON, cause: error });
}
