import type { ErrorRequestHandler, Response } from "express";
import type { Logger } from "./log.ts";
import { traceOf } from "./trace.ts";

interface ProblemOptions {
  /** What the caller can do about it. */
  readonly detail?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** An error that is an answer: RFC 9457 problem details. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  /** Stable last part of the `type` URI, e.g. `bad-key`. */
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

/** The one error handler of a service. The log carries the cause, the body only what the caller can act on. */
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

/** Express's own errors, an undecodable path for one, carry a status and whether their message is meant for the caller. */
function fromExpress(error: unknown): Problem {
  const { status, expose, message } = Object(error);
  if (typeof status === "number" && status < 500 && expose !== false) {
    return new Problem(status, "bad-request", "The request cannot be read", { detail: String(message), cause: error });
  }
  return new Problem(500, "internal", "Something went wrong in this service", {
    detail: "The log has the cause under this traceId.",
    cause: error,
  });
}
