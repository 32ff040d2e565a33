import { randomUUID } from "node:crypto";

/**
 * An OAuth error whose description starts with Entra ID's error number.
 * https://learn.microsoft.com/entra/identity-platform/reference-error-codes
 */
export class EntraError extends Error {
  readonly status: number;
  /** The fields of an error response. */
  readonly body: Readonly<{
    error: string;
    error_description: string;
    error_codes: readonly number[];
    timestamp: string;
    trace_id: string;
    correlation_id: string;
  }>;

  constructor(status: number, error: string, code: number, message: string) {
    super(message);
    this.status = status;
    const trace = randomUUID();
    const timestamp = new Date()
      .toISOString()
      .replace("T", " ")
      .replace(/\.\d+Z$/, "Z");
    this.body = {
      error,
      error_description: `AADSTS${code}: ${message} Trace ID: ${trace} Correlation ID: ${trace} Timestamp: ${timestamp}`,
      error_codes: [code],
      timestamp,
      trace_id: trace,
      correlation_id: trace,
    };
  }
}

export function missing(parameter: string): EntraError {
  const message = `The request body must contain the following parameter: '${parameter}'.`;
  return new EntraError(400, "invalid_request", 900144, message);
}
