const names: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  409: "Conflict",
  412: "PreconditionFailed",
  413: "RequestEntityTooLarge",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
};

/** An answer other than success. `x-ms-substatus` tells apart what shares a status.
 *  https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb */
export class Fault extends Error {
  readonly status: number;
  readonly substatus: number;
  readonly retryAfterMs: number | undefined;
  readonly details: Readonly<Record<string, string>>;

  constructor(status: number, message: string, { substatus = 0, retryAfterMs, details = {} }: FaultOptions = {}) {
    super(message);
    this.status = status;
    this.substatus = substatus;
    this.retryAfterMs = retryAfterMs;
    this.details = details;
  }

  get body(): Readonly<Record<string, string>> {
    return { code: names[this.status] ?? String(this.status), message: this.message, ...this.details };
  }
}

interface FaultOptions {
  substatus?: number;
  retryAfterMs?: number;
  /** Further properties of the body. */
  details?: Readonly<Record<string, string>>;
}
