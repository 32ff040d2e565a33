import { createSidecarClient, SidecarError, type SidecarRequest, type SidecarResponse } from "../dapr/client.ts";
import { RETRY_SOON } from "../runtime/http.ts";
import { Problem } from "../runtime/problem.ts";

interface SidecarOptions {
  /** Origin of the sidecar's HTTP API. */
  readonly origin: string;
  /** Longest wait for an answer, in milliseconds. */
  readonly timeoutMs: number;
  readonly apiToken?: string;
}

interface Invocation {
  readonly method?: "GET" | "PUT";
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** JSON. */
  readonly body?: string;
  /** W3C trace context. */
  readonly traceparent: string;
}

export interface Sidecar {
  /**
   * Sends a request to another service of the suite.
   * @param path as the service has it, query included; nothing in it may be encoded, for the sidecar decodes it before it
   * resolves `..`
   * @throws {Problem} when the service gave no answer, with the reason as `code`: `no-sidecar`, `service-late`,
   * `sidecar-unreachable`, `service-down`, `invocation-denied`, `invocation-failed`
   */
  invoke(appId: string, path: string, invocation: Invocation): Promise<SidecarResponse>;
  /** Resolves when the sidecar of this service answers that it is well. @throws {Problem} when not */
  healthy(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Dapr service invocation, https://docs.dapr.io/reference/api/service_invocation_api/
 *
 * The sidecar's HTTP API, not @dapr/dapr: `DaprClient.invoker.invoke` (3.18.0, implementation/Client/HTTPClient) answers
 * with the parsed body alone. So there is no ETag, no 201 as against 204 and no `Sample-Data`; an error is an
 * `Error(JSON.stringify({ error, error_msg, status }))` without headers, where problem details of the service look like
 * the sidecar's own errors; there is no time-out and no signal, and the first call polls an absent sidecar for 30 s;
 * `false`, `0`, `null` and `""` are not sent (`if (params.body)`).
 */
export function createSidecar({ origin, timeoutMs, apiToken }: SidecarOptions): Sidecar {
  const client = createSidecarClient({ origin, timeoutMs, apiToken });

  async function ask(peer: string, path: string, request: SidecarRequest): Promise<SidecarResponse> {
    try {
      return await client.request(path, request);
    } catch (cause) {
      if (cause instanceof SidecarError && cause.kind === "timeout") {
        throw new Problem(504, "service-late", `${peer} gave no answer within ${timeoutMs} ms`, {
          detail: `Try again; a write may have happened all the same. The logs of ${peer} and of the sidecars tell more.`,
          headers: RETRY_SOON,
          cause,
        });
      }
      throw new Problem(503, "no-sidecar", `No Dapr sidecar answers at ${origin}`, {
        detail:
          'welcome reaches the other services through one: "npm start" starts it; on Kubernetes the annotation ' +
          "dapr.io/enabled does, on Container Apps the app's Dapr setting.",
        headers: RETRY_SOON,
        cause,
      });
    }
  }

  return {
    async invoke(appId, path, invocation) {
      const answer = await ask(appId, `/v1.0/invoke/${appId}/method${path}`, invocation);
      if (answer.statusCode >= 400 && !isProblem(answer)) throw refusal(appId, answer);
      return answer;
    },
    async healthy() {
      const { statusCode } = await ask("The Dapr sidecar", "/v1.0/healthz", {});
      if (statusCode !== 204) throw new Problem(503, "sidecar-not-ready", "The Dapr sidecar is not ready yet");
    },
    close: client.close,
  };
}

/** The services of the suite answer every error so, and sidecars none. */
function isProblem({ headers }: SidecarResponse): boolean {
  return headers["content-type"]?.startsWith("application/problem+json") ?? false;
}

/** What daprd itself said (1.18.2, pkg/api/http/directmessaging.go); only its message tells who did not answer. */
function refusal(appId: string, { statusCode, text }: SidecarResponse): Problem {
  const cause = new Error(`${statusCode} ${text}`);
  if (text.includes("error invoking app channel")) {
    return new Problem(503, "service-down", `${appId} does not answer its sidecar`, {
      detail: `The sidecar of ${appId} runs, the service itself does not, or not yet: look at its log.`,
      headers: RETRY_SOON,
      cause,
    });
  }
  if (/no host found|couldn't find service|code = Unavailable/.test(text)) {
    return new Problem(503, "sidecar-unreachable", `The sidecar of ${appId} cannot be reached`, {
      detail: `Is ${appId} deployed with Dapr on and this app id, and in the same environment or namespace?`,
      headers: RETRY_SOON,
      cause,
    });
  }
  if (statusCode === 401) {
    return new Problem(502, "invocation-denied", "The Dapr sidecar does not accept this service's API token", {
      detail: "DAPR_API_TOKEN has to be the token that the sidecar was started with.",
      cause,
    });
  }
  if (statusCode === 403) {
    return new Problem(502, "invocation-denied", `The sidecar of ${appId} does not let welcome call it`, {
      detail: `Allow the app id welcome in the accessControl of ${appId}'s Dapr Configuration.`,
      cause,
    });
  }
  if (statusCode === 404 && !text.includes("ERR_")) {
    return new Problem(502, "invocation-denied", "The Dapr sidecar does not offer service invocation", {
      detail: "Add the API invoke to spec.api.allowed of its Dapr Configuration.",
      cause,
    });
  }
  return new Problem(502, "invocation-failed", `The call to ${appId} failed on the way`, {
    detail: "The log of welcome has the sidecar's words under this traceId.",
    cause,
  });
}
