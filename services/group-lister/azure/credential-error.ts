import { field } from "../../runtime/field.ts";
import { AzureError } from "./error.ts";

const REACH_ENTRA_ID =
  "Check the network and AZURE_AUTHORITY_HOST. For a private CA, set NODE_EXTRA_CA_CERTS to its certificate file.";

const SIGN_IN =
  "On your own machine: az login. In Azure: assign a managed identity to the app, and set AZURE_CLIENT_ID if it is a " +
  "user-assigned one. In Kubernetes: use a service account with workload identity.";

export function credentialTimeout(timeoutMs: number): AzureError {
  const message = `No credential returned a token within ${timeoutMs} ms`;
  return new AzureError("credential-slow", message, "The search continues. Retry to see its result.");
}

/**
 * Explains an error of DefaultAzureCredential with one line for each credential and each origin that failed.
 * @param unreachable failure by origin that did not respond during the search
 */
export function explainCredentialError(error: unknown, unreachable: ReadonlyMap<string, string>): AzureError {
  const errors = field(error, "errors");
  const failures = [...unreachable].map(([origin, reason]) => `${origin} did not respond: ${reason}`);
  const reasons = [...(Array.isArray(errors) ? errors : [error]).map(summarize), ...failures]
    .map((reason) => `- ${reason}`)
    .join("\n");
  // The chain stops with an AuthenticationError at the first credential that is configured and fails.
  if (field(error, "name") !== "AuthenticationError") {
    const advice = `${SIGN_IN} Tried:\n${reasons}`;
    return new AzureError("no-credential", "No Azure credential returned a token", advice, { cause: error });
  }
  if (failures.length > 0) {
    const advice = `${REACH_ENTRA_ID}\n${reasons}`;
    return new AzureError("azure-unreachable", "Entra ID is unreachable", advice, { cause: error });
  }
  const advice = `Fix this credential, or unset its variables to try others:\n${reasons}`;
  return new AzureError("credential-refused", "Entra ID rejected the credential", advice, { cause: error });
}

/** One line. The SDK's messages name the credential, followed by addresses, headers and trace ids that are cut off. */
function summarize(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .replaceAll(/\s+/g, " ")
    .replace(/ To (troubleshoot|mitigate).*?https:\S+/, "")
    .replace(/(Please visit|See (the troubleshooting|https:)|Trace ID:|Headers:).*/, "")
    .trim()
    .slice(0, 300);
}
