import { field } from "../../runtime/field.ts";

/** A page has 1,000 resource groups, which take less than 1 MiB. */
const MAX_RESPONSE_BYTES = 8 * 1_048_576;

/** The response exceeds MAX_RESPONSE_BYTES. */
class ResponseTooLarge extends Error {}

/**
 * The SDK's default HTTP client with what the SDK's clients do not set: a timeout for each request and a maximum size
 * of each response.
 */
export async function createHttpClient(timeoutMs: number) {
  const { createDefaultHttpClient } = await import("@azure/core-rest-pipeline");
  const client = createDefaultHttpClient();
  return {
    async sendRequest(request: Parameters<typeof client.sendRequest>[0]) {
      request.timeout ||= timeoutMs; // the probe for IMDS sets its own
      let isTooLarge = false;
      request.onDownloadProgress = ({ loadedBytes }) => {
        isTooLarge = loadedBytes > MAX_RESPONSE_BYTES;
        if (isTooLarge) throw new ResponseTooLarge(); // ends the request
      };
      return client.sendRequest(request).catch((error) => {
        throw isTooLarge ? new ResponseTooLarge(`a response of more than ${MAX_RESPONSE_BYTES} bytes`) : error;
      });
    },
  };
}

/** Why a request got no response: "timeout", "too-large", or a code such as ECONNREFUSED. */
export function failureOf(error: unknown): string {
  if (error instanceof ResponseTooLarge) return "too-large";
  if (field(error, "name") === "AbortError") return "timeout";
  const code = field(error, "code");
  return typeof code === "string" ? code : "unknown";
}
