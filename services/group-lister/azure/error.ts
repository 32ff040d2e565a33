type AzureErrorKind =
  /** No credential of the chain is set up here. */
  | "no-credential"
  /** One is, and Entra ID does not take it. */
  | "credential-refused"
  /** No token yet; the search goes on. */
  | "credential-slow"
  /** Azure does not take the token. */
  | "token-refused"
  /** The identity lacks a role. */
  | "forbidden"
  | "no-such-subscription"
  /** Azure asks for fewer requests. */
  | "throttled"
  /** Azure gave no answer in time. */
  | "azure-timeout"
  | "azure-unreachable"
  /** Azure answered with a failure, or with what cannot be understood. */
  | "azure-failed";

interface AzureErrorOptions extends ErrorOptions {
  /** When it makes sense to try again, in milliseconds since 1970. */
  readonly retryAt?: number | undefined;
}

/** What went wrong on the way to Azure, in words for whoever runs the service. Carries no secrets. */
export class AzureError extends Error {
  override readonly name = "AzureError";
  readonly kind: AzureErrorKind;
  /** What they can do about it. */
  readonly advice: string;
  readonly retryAt: number | undefined;

  constructor(kind: AzureErrorKind, message: string, advice: string, { retryAt, ...options }: AzureErrorOptions = {}) {
    super(message, options);
    this.kind = kind;
    this.advice = advice;
    this.retryAt = retryAt;
  }
}
