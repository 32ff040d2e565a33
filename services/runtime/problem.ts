import type { ErrorRequestHandler, Response } from "express";
import { field } from "./field.ts";
import type { Logger } from "./log.ts";
import { traceOf } from "./trace.ts";

interface ProblemOptions {
  /** What the caller can do about it. */
  readonly detail?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** An error to send to the caller as RFC 9457 problem details. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  /** Last part of the `type` URI, such as `bad-key`. Callers rely on it, so it does not change. */
  readonly code: string;
  readonly detail: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, title: string, options: ProblemOptions = {}) {
    super(title, { cause: options.cause });
    this.status = status;
    this.code = code;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }
}

export function sendProblem(res: Response, problem: Problem): void {
  res
    .status(problem.status)
    .set(problem.headers)
    .type("application/problem+json")
    .send(
      JSON.stringify({
        type: `urn:problem:${problem.code}`,
        title: problem.message,
        status: problem.status,
        detail: problem.detail,
        traceId: traceOf(res.req).id,
      }),
    );
}

/** The error handler of a service. It logs the cause; the response has only what the caller can act on. */
export function problemHandler(log: Logger): ErrorRequestHandler {
  return (error, req, res, next) => {
    const problem = error instanceof Problem ? error : fromExpress(error);
    const entry = { traceId: traceOf(req).id, method: req.method, path: req.path, status: problem.status };
    if (problem.status >= 500) log.error({ ...entry, err: error }, problem.message);
    else log.debug({ ...entry, code: problem.code }, "refused");
    if (res.headersSent) next(error);
    else sendProblem(res, problem);
  };
}

/**
 * Express's own errors, such as one for a path that it cannot decode, have a status, and say in `expose` whether
 * callers may see the message. Every other error is a fault of the service.
 */
function fromExpress(error: unknown): Problem {
  const status = field(error, "status");
  if (typeof status === "number" && status < 500 && field(error, "expose") !== false) {
    const detail = String(field(error, "message"));
    return new Problem(status, "bad-request", "The request is malformed", { detail, cause: error });
  }
  return new Problem(500, "internal", "The service failed unexpectedly", {
    detail: "Search the log for this traceId to find the cause.",
    cause: error,
  });
}
