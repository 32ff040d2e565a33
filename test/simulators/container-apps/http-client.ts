// Sends requests of an Azure client to the simulator without HTTP, a hundred times faster.
import { createHttpHeaders, type HttpClient, RestError } from "@azure/core-rest-pipeline";
import type { Simulator } from "./simulator.ts";

/** A response that never comes is a timeout at once. */
export function createHttpClient(simulator: Simulator): HttpClient {
  return {
    async sendRequest(request) {
      const { promise: timeout, reject } = Promise.withResolvers<never>();
      const fail = (message: string, code: string) => new RestError(message, { code, request });
      request.abortSignal?.addEventListener("abort", () => reject(new DOMException("Aborted", "AbortError")));
      const response = await Promise.race([
        timeout,
        simulator.handle({
          method: request.method,
          url: new URL(request.url),
          headers: request.headers.toJSON(),
          body: typeof request.body === "string" ? request.body : "",
        }),
      ]);
      if (response === undefined) throw fail("The request timed out.", "ETIMEDOUT");
      const { status, body, headers = {} } = response;
      if (status === 0) throw fail("socket hang up", "ECONNRESET");
      const bodyAsText = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
      return { request, status, headers: createHttpHeaders(headers), bodyAsText };
    },
  };
}
