type AzureErrorKind =
  /** No credential returned a token, and Entra ID rejected none of them. */
  | "no-credential"
  /** Entra ID rejected a credential, and no other one returned a token. */
  | "credential-refused"
  /** No token yet; the search continues. */
  | "credential-slow"
  /** Azure Resource Manager rejected the token. */
  | "token-refused"
  /** The identity lacks a role. */
  | "forbidden"
  | "no-such-subscription"
  | "throttled"
  /** Azure did not respond before the timeout. */
  | "azure-timeout"
  | "azure-unreachable"
  /** Azure returned an error or an unexpected response. */
  | "azure-failed";

interface AzureErrorOptions extends ErrorOptions {
  /** When to retry, in milliseconds since 1970. */
  readonly retryAt?: number | undefined;
  /** For the log only: ids, what was tried, the command that helps. */
  readonly details?: string;
}

/**
 * A failed call to Azure. Every caller may see the message and the advice, so they name no subscription, identity or
 * credential; `details` does. None of them contains a secret.
 */
export class AzureError extends Error {
  override readonly name = "AzureError";
  readonly kind: AzureErrorKind;
  /** What the operator can do. */
  readonly advice: string;
  readonly details: string | undefined;
  readonly retryAt: number | undefined;

  constructor(
    kind: AzureErrorKind,
    message: string,
    advice: string,
    { retryAt, details, ...options }: AzureErrorOptions = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.advice = advice;
    this.details = details;
    this.retryAt = retryAt;
  }
}

/** Reports the outcome and duration of every call to Azure. */
export type Observe = (outcome: "ok" | AzureErrorKind, seconds: number) => void;
