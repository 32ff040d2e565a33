// Failures of Azure Resource Manager, explained to the operator. Azure's own words are the cause, for the log.
import { field } from "../../runtime/field.ts";
import { AzureError } from "./error.ts";
import { failureOf } from "./http.ts";

interface ErrorResponse {
  readonly status: number;
  readonly bodyAsText?: string | null;
  readonly headers: { get(name: string): string | undefined };
}

export function explainResponse({ status, bodyAsText, headers }: ErrorResponse, subscriptionId: string): AzureError {
  const { code, message } = parseError(bodyAsText);
  const requestId = headers.get("x-ms-request-id") ?? "unknown";
  const cause = new Error(`Azure Resource Manager returned ${status} ${code}: ${message} (request ${requestId})`);
  const scope = `/subscriptions/${subscriptionId}`;
  switch (status) {
    case 403: {
      const objectId = /object id '([^']+)'/.exec(message)?.[1] ?? "OBJECT-ID";
      return new AzureError(
        "forbidden",
        "The identity lacks the role Reader on the subscription",
        "Assign it; it takes effect after a few minutes. The log has the command.",
        { cause, details: assignReader(scope, objectId) },
      );
    }
    case 404:
      return new AzureError(
        "no-such-subscription",
        "The identity's tenant has no such subscription",
        "Check AZURE_SUBSCRIPTION_ID, which the log has. To see your subscriptions: az account list --output table",
        { cause, details: scope },
      );
    case 429:
      return new AzureError(
        "throttled",
        "Azure Resource Manager is throttling requests",
        "Retry when the time in Retry-After has passed.",
        { cause, retryAt: parseRetryAfter(headers.get("Retry-After")) },
      );
    default:
      return new AzureError(
        "azure-failed",
        `Azure Resource Manager returned ${[status, code].join(" ").trim()}`,
        "Retry; https://azure.status.microsoft shows known outages.",
        { cause, retryAt: parseRetryAfter(headers.get("Retry-After")) },
      );
  }
}

/** Explains an error that the SDK itself throws: a rejected token, or a response that is not a list. */
export function explainSdkError(error: unknown): AzureError {
  if (field(error, "statusCode") !== 401) return unexpectedResponse("a response that is not a list", error);
  return new AzureError(
    "token-refused",
    `Azure Resource Manager rejected the token (${field(error, "code")})`,
    "Check AZURE_AD_RESOURCE, AZURE_ENVIRONMENT and the subscription's tenant. If you have recreated the managed " +
      "identity, restart the service: it keeps a token until the token expires.",
    { cause: error },
  );
}

export function unexpectedResponse(what: string, cause?: unknown): AzureError {
  const message = `Azure Resource Manager returned ${what}`;
  return new AzureError("azure-failed", message, "Check AZURE_RESOURCE_MANAGER_ENDPOINT.", { cause });
}

/** Explains why a request got no response. */
export function explainUnreachable(error: unknown, origin: string, timeoutMs: number): AzureError {
  const failure = failureOf(error);
  if (failure === "timeout") {
    const message = `Azure Resource Manager did not respond within ${timeoutMs} ms`;
    return new AzureError("azure-timeout", message, "Retry.", { cause: error });
  }
  if (failure === "too-large") return unexpectedResponse("a response that is too large", error);
  return new AzureError(
    "azure-unreachable",
    `Azure Resource Manager is unreachable at ${origin} (${failure})`,
    "Check the network and AZURE_RESOURCE_MANAGER_ENDPOINT. For a private CA, set NODE_EXTRA_CA_CERTS to its " +
      "certificate file.",
    { cause: error },
  );
}

/** The command that assigns the role Reader. */
export function assignReader(scope: string, objectId: string): string {
  return `az role assignment create --role Reader --scope ${scope} --assignee-object-id ${objectId}`;
}

/** Azure's error code and message; both "" in another body, such as a proxy's page. */
function parseError(body: string | null | undefined): { code: string; message: string } {
  let error: unknown;
  try {
    error = field(JSON.parse(String(body)), "error");
  } catch {
    // not JSON
  }
  const text = (name: string) => {
    const value = field(error, name);
    return typeof value === "string" ? value : "";
  };
  return { code: text("code"), message: text("message") };
}

/** Seconds or a date, RFC 9110 §10.2.3; returns milliseconds since 1970. */
function parseRetryAfter(header: string | undefined): number | undefined {
  const at = Number.isFinite(Number(header)) ? Date.now() + Number(header) * 1000 : Date.parse(String(header));
  return Number.isFinite(at) ? at : undefined;
}
