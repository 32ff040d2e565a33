import { field } from "../../runtime/field.ts";
import { AzureError } from "./error.ts";

const REACH_ENTRA_ID =
  "Check the network and AZURE_AUTHORITY_HOST. For a private CA, set NODE_EXTRA_CA_CERTS to its certificate file.";

const SIGN_IN =
  "On your own machine: az login. In Azure: assign a managed identity to the app, and set AZURE_CLIENT_ID if it is a " +
  "user-assigned one. In Kubernetes: use a service account with workload identity.";

/** Only errors that Entra ID returned contain one. https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
const ENTRA_ID_CODE = /AADSTS\d+/;

export function credentialTimeout(timeoutMs: number): AzureError {
  const message = `No credential returned a token within ${timeoutMs} ms`;
  return new AzureError("credential-slow", message, "The search continues. Retry to see its result.");
}

/**
 * Explains an error of DefaultAzureCredential. Its details have one line for each credential and each origin that
 * failed.
 * @param unreachable failure by origin that did not respond during the search
 */
export function explainCredentialError(error: unknown, unreachable: ReadonlyMap<string, string>): AzureError {
  const aggregated = field(error, "errors");
  const messages = (Array.isArray(aggregated) ? aggregated : [error]).map(messageOf);
  const failures = [...unreachable].map(([origin, reason]) => `${origin} did not respond: ${reason}`);
  // The chain stops with an AuthenticationError when EnvironmentCredential fails. When WorkloadIdentityCredential or a
  // tool such as az fails, it tries the others, and aggregates the errors if they all fail.
  const stopped = field(error, "name") === "AuthenticationError";
  const rejected = messages.filter((message) => ENTRA_ID_CODE.test(message));
  if (rejected.length > 0 || (stopped && failures.length === 0)) {
    const others = stopped ? "or unset its variables to try others" : "because no other one returned a token";
    const shown = rejected.length > 0 ? rejected : messages;
    const codes = [...new Set(shown.flatMap((message) => ENTRA_ID_CODE.exec(message) ?? []))].join(", ");
    const advice = `Fix this credential${codes && ` (${codes})`}, ${others}. The log has Entra ID's message.`;
    const options = { cause: error, details: list(shown) };
    return new AzureError("credential-refused", "Entra ID rejected the credential", advice, options);
  }
  const options = { cause: error, details: list([...messages, ...failures]) };
  if (stopped) {
    const advice = `${REACH_ENTRA_ID} The log has the reason.`;
    return new AzureError("azure-unreachable", "Entra ID is unreachable", advice, options);
  }
  const advice = `${SIGN_IN} The log has what was tried.`;
  return new AzureError("no-credential", "No Azure credential returned a token", advice, options);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Two credentials of the chain exchange the same federated token, so their messages can be equal. */
function list(messages: readonly string[]): string {
  return [...new Set(messages.map(summarize))].map((reason) => `- ${reason}`).join("\n");
}

/** One line, without the addresses, headers, times and trace ids in the SDK's messages. */
function summarize(message: string): string {
  return message
    .replaceAll(/\s+/g, " ")
    .replace(/\w+: Error\(s\): .* - Description: (?=AADSTS)/, "")
    .replace(/ To (troubleshoot|mitigate).*?https:\S+/, "")
    .replace(/(Please visit|See (the troubleshooting|https:)|Trace ID:|Headers:).*/, "")
    .trim()
    .slice(0, 300);
}
