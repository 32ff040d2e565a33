// Turns what Azure responds, or why it does not, into faults with a remedy.
import { failureOf } from "../../../services/group-lister/azure/http.ts";
import { field } from "../../../services/runtime/field.ts";
import { AzureFault } from "./azure.ts";

export interface HttpResponse {
  readonly status: number;
  readonly bodyAsText?: string | null;
  readonly headers: { get(name: string): string | undefined };
}

/** What a request was about, for messages. */
export interface Subject {
  /** e.g. `welcome in the resource group rg` */
  readonly name: string;
  /** The command that shows whether it exists. */
  readonly find: string;
  /** The role that a person needs, and the resource id that it is for. */
  readonly role: string;
  readonly scope: string;
}

/** Its text can also be inside the message of another error, ProviderError. */
const BUSY = "ContainerAppOperationInProgress";

/** @param now the time that a date in Retry-After is relative to, in milliseconds since 1970 */
export function explainResponse(response: HttpResponse, subject: Subject, now: number): AzureFault {
  const { status, headers } = response;
  const { code, message } = parseError(response.bodyAsText);
  const retryAfter = parseRetryAfter(headers.get("Retry-After"), now);
  const said = [code, message].filter((part) => part !== "").join(": ");
  const cause = { cause: new Error(`${status} ${said} (request ${headers.get("x-ms-request-id") ?? "unknown"})`) };
  if (`${code} ${message}`.includes(BUSY)) {
    return new AzureFault("busy", `Azure still applies another change to ${subject.name}`, retryAfter, cause);
  }
  if (code === "ScopeLocked") return new AzureFault("denied", `A lock of Azure forbids it. ${said}`, retryAfter, cause);
  if (code === "" && status < 500 && status !== 429 && status !== 408) {
    const remedy = "A proxy or a firewall may have sent it: check the network and HTTPS_PROXY";
    return new AzureFault(
      "unreachable",
      `A response with status ${status} is not from Azure. ${remedy}`,
      retryAfter,
      cause,
    );
  }
  if (status === 401) {
    const remedy = "Sign in again: az login. In GitHub Actions, check AZURE_CLIENT_ID and AZURE_TENANT_ID.";
    return new AzureFault(
      "denied",
      `Azure rejected the sign-in. ${remedy} Azure: ${said || status}`,
      retryAfter,
      cause,
    );
  }
  if (status === 403) {
    const [, action] = /perform action '([^']+)'/.exec(message) ?? [];
    const what = action === undefined ? `It says: ${said}.` : `Missing: ${action}.`;
    const text = `The identity has no permission for ${subject.name}. ${what} ${assignRole(message, subject)}`;
    return new AzureFault("denied", text, retryAfter, cause);
  }
  if (status === 404) {
    const text = `Azure does not find ${subject.name} (${code}). Check the names: \`${subject.find}\``;
    return new AzureFault("missing", text, retryAfter, cause);
  }
  if (status === 429) return new AzureFault("busy", "Azure limits the rate of requests", retryAfter, cause);
  if (status === 409) return new AzureFault("busy", `Azure does not accept a change now: ${said}`, retryAfter, cause);
  if (status === 408 || status >= 500) {
    return new AzureFault("unreachable", `Azure returned an error of its own: ${said || status}`, retryAfter, cause);
  }
  return new AzureFault("rejected", `Azure rejected the request: ${said}`, retryAfter, cause);
}

/** The role of a person. A workflow gets one that has only what a release needs. */
function assignRole(message: string, { role, scope }: Subject): string {
  const [, objectId = "OBJECT-ID"] = /object id '([^']+)'/.exec(message) ?? [];
  const command = `az role assignment create --role ${role} --assignee ${objectId} --scope ${scope}`;
  return `For a person: \`${command}\`. For a workflow, deploy infra/bicep/releaser.bicep`;
}

/** Explains why a request got no response within `timeout` milliseconds. */
export function explainNoResponse(error: unknown, origin: string, timeout: number, variable: string): AzureFault {
  const failure = failureOf(error);
  const reason =
    failure === "timeout"
      ? `did not respond within ${timeout / 1000} s`
      : failure === "too-large"
        ? "sent a response that is too large"
        : `is unreachable (${failure})`;
  const remedy = `Check the network and ${variable}. For a private CA, set NODE_EXTRA_CA_CERTS to its certificate file`;
  return new AzureFault("unreachable", `${origin} ${reason}. ${remedy}`, undefined, { cause: error });
}

/** A response that Azure does not send. */
export function explainUnexpected(origin: string, what: string, variable: string): AzureFault {
  return new AzureFault("unreachable", `${origin} returned ${what}. Check the network and ${variable}`);
}

/** Code and message of Azure's error, one line each; both "" in another body, such as a proxy's page. */
function parseError(body: string | null | undefined): { readonly code: string; readonly message: string } {
  let error: unknown;
  try {
    const content: unknown = JSON.parse(body ?? "");
    error = field(content, "error") ?? content;
  } catch {
    error = undefined;
  }
  const text = (of: unknown, name: string) => {
    const value = field(of, name);
    return typeof value === "string" ? oneLine(value) : "";
  };
  // Log Analytics says only in the innermost one what is wrong with a query.
  let inner: unknown = field(error, "innererror");
  while (field(inner, "innererror") !== undefined) inner = field(inner, "innererror");
  const message = [text(error, "message"), text(inner, "message")].filter((part) => part !== "").join(" ");
  return { code: text(error, "code"), message };
}

export const oneLine = (text: string) => text.replaceAll(/\s+/g, " ").trim().slice(0, 400);

/**
 * Why an operation failed, from the response to its URL. That is the status of the operation, or the error itself.
 *
 * @returns undefined if it has not failed, or the identity may not read it
 */
export function failureOfOperation({ status, bodyAsText }: HttpResponse): string | undefined {
  const { code, message } = parseError(bodyAsText);
  if (status === 401 || status === 403 || status === 404 || status === 429 || status >= 500) return undefined;
  // The field and what is wrong with it, without the sentences around it: a tag has room for little more.
  const [, invalid] = /is invalid with details: '(.*?)';?\.*$/.exec(message) ?? [];
  return (invalid ?? [code, message].filter((part) => part !== "").join(": ")) || undefined;
}

/** Seconds or a date, RFC 9110 §10.2.3; returns seconds. */
function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d{1,6}$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}
