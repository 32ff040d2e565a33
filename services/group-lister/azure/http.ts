import { field } from "../../runtime/field.ts";

/** The SDK's default HTTP client with a timeout for each request, which the SDK's clients do not set. */
export async function createHttpClient(timeoutMs: number) {
  const { createDefaultHttpClient } = await import("@azure/core-rest-pipeline");
  const client = createDefaultHttpClient();
  return {
    sendRequest(request: Parameters<typeof client.sendRequest>[0]) {
      request.timeout ||= timeoutMs; // the probe for IMDS sets its own
      return client.sendRequest(request);
    },
  };
}

/** Why a request got no response: "timeout", or a code such as ECONNREFUSED. */
export function failureOf(error: unknown): string {
  if (field(error, "name") === "AbortError") return "timeout";
  const code = field(error, "code");
  return typeof code === "string" ? code : "unknown";
}
