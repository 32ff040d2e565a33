import {
  createSidecarClient,
  MAX_RESPONSE_BYTES,
  SidecarError,
  type SidecarRequest,
  type SidecarResponse,
} from "../dapr/client.ts";
import { RETRY_SOON } from "../runtime/http.ts";
import { Problem } from "../runtime/problem.ts";
import type { Trace } from "../runtime/trace.ts";

interface SidecarOptions {
  /** Origin of the sidecar's HTTP API. */
  readonly origin: string;
  /** Timeout of a request that sets none, in milliseconds. */
  readonly timeoutMs: number;
  readonly apiToken?: string;
}

type Invocation = SidecarRequest & { readonly trace: Trace };

export interface Sidecar {
  /**
   * Sends a request to another service. Resolves with its response, which is a success or problem details. The other
   * service receives a request with a body at most once, from daprd 1.18 or with a timeout below 1 s; daprd can repeat
   * one without a body.
   * @param path path and query of the other service, without percent-encoding: the sidecar decodes the path before it
   * resolves `..`
   * @throws {Problem} when the service sent no response; `code` is the reason: `no-sidecar`, `connection-lost`,
   * `service-timeout`, `sidecar-unreachable`, `service-down`, `invocation-denied`, `invocation-failed`
   */
  invoke(appId: string, path: string, invocation: Invocation): Promise<SidecarResponse>;
  /**
   * The status of welcome's own sidecar.
   * @throws {Problem} when it sends no response
   */
  checkHealth(): Promise<"up" | "not ready">;
  close(): Promise<void>;
}

/**
 * Dapr service invocation, https://docs.dapr.io/reference/api/service_invocation_api/
 *
 * Uses the sidecar's HTTP API instead of @dapr/dapr 3.18.0 (implementation/Client/HTTPClient), because
 * `DaprClient.invoker.invoke`
 * - returns only the parsed body: no ETag, no `Sample-Data`, no difference between 201 and 204;
 * - throws `Error(JSON.stringify({ error, error_msg, status }))` without headers, so problem details of the service
 *   look like errors of the sidecar;
 * - has no timeout and no signal, and its first call polls a missing sidecar for 30 s;
 * - drops the bodies `false`, `0`, `null` and `""` (`if (params.body)`).
 */
export function createSidecar({ origin, timeoutMs, apiToken }: SidecarOptions): Sidecar {
  const client = createSidecarClient({ origin, timeoutMs, apiToken });

  /** @param responder the name to use in errors */
  async function request(responder: string, path: string, options: SidecarRequest): Promise<SidecarResponse> {
    const waitedMs = options.timeoutMs ?? timeoutMs;
    try {
      return await client.request(path, options);
    } catch (cause) {
      if (cause instanceof SidecarError && cause.kind === "timeout") {
        throw new Problem(504, "service-timeout", `${responder} did not respond within ${waitedMs} ms`, {
          detail: "Retry. A write may still have succeeded. See the logs of the service and of the sidecars.",
          headers: RETRY_SOON,
          cause,
        });
      }
      if (cause instanceof SidecarError && cause.kind === "interrupted") {
        throw new Problem(503, "connection-lost", `The Dapr sidecar at ${origin} closed the connection`, {
          detail: "Retry. A write may still have succeeded.",
          headers: RETRY_SOON,
          cause,
        });
      }
      if (cause instanceof SidecarError && cause.kind === "overloaded") {
        throw new Problem(503, "overloaded", "The service holds too many large bodies", {
          detail: "Retry. A write may still have succeeded.",
          headers: RETRY_SOON,
          cause,
        });
      }
      if (cause instanceof SidecarError && cause.kind === "too-large") {
        throw new Problem(502, "bad-response", `The response of ${responder} is too large`, {
          detail: `The maximum is ${MAX_RESPONSE_BYTES} bytes.`,
          cause,
        });
      }
      throw new Problem(503, "no-sidecar", `The Dapr sidecar at ${origin} is unreachable`, {
        detail:
          'welcome calls the other services through its sidecar. "npm start" starts one; on Kubernetes, set the ' +
          "annotation dapr.io/enabled; on Container Apps, enable Dapr for the app.",
        headers: RETRY_SOON,
        cause,
      });
    }
  }

  return {
    async invoke(appId, path, invocation) {
      // When the connection to the other sidecar breaks, daprd repeats a request, although the service may have acted:
      // https://docs.dapr.io/operations/resiliency/policies/retries/retries-overview/. A repeated write could undo one
      // that came between, and a repeated condition would fail. daprd 1.18 keeps no body in chunks, so it cannot repeat
      // such a request. Before 1.18 it repeats every request, but no sooner than after 1 s: see MAX_WRITE_MS in app.ts.
      const response = await request(appId, `/v1.0/invoke/${appId}/method${path}`, { ...invocation, chunked: true });
      if (response.statusCode < 400) return response;
      if (!isProblem(response)) throw invocationProblem(appId, response);
      if (isRefusedCaller(response)) throw refusedCaller(appId, response);
      return response;
    },
    async checkHealth() {
      const { statusCode } = await request("The Dapr sidecar", "/v1.0/healthz", {});
      return statusCode === 204 ? "up" : "not ready";
    },
    close: client.close,
  };
}

/** True for an error of a service rather than a sidecar: only the services of this suite return problem details. */
function isProblem({ headers }: SidecarResponse): boolean {
  return headers["content-type"]?.startsWith("application/problem+json") ?? false;
}

/** True for a response of `callerCheck` in runtime/access.ts: only who deploys welcome can fix its cause. */
function isRefusedCaller({ statusCode, text }: SidecarResponse): boolean {
  return statusCode === 401 || (statusCode === 403 && text.includes('"urn:problem:caller-not-allowed"'));
}

function refusedCaller(appId: string, { statusCode, text }: SidecarResponse): Problem {
  return new Problem(502, "invocation-denied", `${appId} refuses calls from welcome`, {
    detail: `Give ${appId} and its sidecar the same APP_API_TOKEN, and name welcome in its ALLOWED_CALLERS.`,
    cause: new Error(`${statusCode} ${text}`),
  });
}

/** Translates an error of daprd 1.18.2 (pkg/api/http/directmessaging.go). Only the text shows what was unreachable. */
function invocationProblem(appId: string, { statusCode, text }: SidecarResponse): Problem {
  const cause = new Error(`${statusCode} ${text}`);
  const unresolved = /no host found|couldn't find service|timeout waiting for address/.test(text);
  const unsent = unresolved || /Error while dialing|dial tcp|channel is not initialized/.test(text);
  const effect = unsent ? "" : " A write may still have succeeded.";
  if (/error invoking app channel|app channel is not initialized/.test(text)) {
    return new Problem(503, "service-down", `${appId} does not respond to its sidecar`, {
      detail: `The sidecar of ${appId} is running. The service is not, or is still starting: check its log.${effect}`,
      headers: RETRY_SOON,
      cause,
    });
  }
  if (unresolved || text.includes("code = Unavailable")) {
    return new Problem(503, "sidecar-unreachable", `The sidecar of ${appId} is unreachable`, {
      detail: `Check that ${appId} runs with Dapr enabled, under this app id, in the same environment or namespace.${effect}`,
      headers: RETRY_SOON,
      cause,
    });
  }
  if (statusCode === 401) {
    return new Problem(502, "invocation-denied", "The Dapr sidecar rejects the API token of welcome", {
      detail: "Set DAPR_API_TOKEN to the token that the sidecar was started with.",
      cause,
    });
  }
  if (statusCode === 403) {
    return new Problem(502, "invocation-denied", `The sidecar of ${appId} denies calls from welcome`, {
      detail: `Allow the app id welcome in accessControl of ${appId}'s Dapr Configuration.`,
      cause,
    });
  }
  if (statusCode === 404 && !text.includes("ERR_")) {
    return new Problem(502, "invocation-denied", "The Dapr sidecar does not allow service invocation", {
      detail: "Add the API invoke to spec.api.allowed of its Dapr Configuration.",
      cause,
    });
  }
  return new Problem(502, "invocation-failed", `The sidecars could not deliver the call to ${appId}`, {
    detail: `The log of welcome has the sidecar's error; search it for this traceId.${effect}`,
    cause,
  });
}
