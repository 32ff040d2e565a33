// What can go wrong with a request.
import type { AzureResponse } from "../../../stand-ins/azure/http.ts";
import { armError, throttled } from "../../../stand-ins/azure/resource-manager-responses.ts";

/** A request as a test sees it. */
export interface SeenRequest {
  /** Counts from 1. */
  readonly number: number;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** What it is about. */
  readonly kind: "app" | "revisions" | "replicas" | "activation" | "operation" | "metrics" | "logs" | "other";
  readonly body: string;
}

export interface Fault {
  /** Whether Azure does what the request asks for. */
  readonly hasEffect: boolean;
  /** `lost`: the connection ends without a response. `none`: no response ever comes. */
  readonly response: AzureResponse | "lost" | "none";
}

const busyMessage = "because there is an active provisioning operation in progress.";

/** Every fault, by name. `…After`: after the effect of the request. */
export const faults = {
  busy: without(armError(409, "ContainerAppOperationInProgress", `Cannot modify a container app ${busyMessage}`)),
  /** The other shape of the same. */
  busyInText: without(
    armError(
      400,
      "ProviderError",
      `Resource provider 'Microsoft.App' returned: {"error":{"code":"ContainerAppOperationInProgress","message":"Cannot modify a container app ${busyMessage}"}}`,
    ),
  ),
  throttled: (seconds: number): Fault => without(throttled(seconds)),
  unavailable: without(armError(503, "ServiceUnavailable", "The service is unavailable.")),
  failedAfter: after(armError(500, "InternalServerError", "An internal error occurred.")),
  lost: without("lost"),
  lostAfter: after("lost"),
  hanging: without("none"),
  hangingAfter: after("none"),
  expired: without(
    armError(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.", {
      "WWW-Authenticate": 'Bearer error="invalid_token"',
    }),
  ),
  denied: without(armError(403, "AuthorizationFailed", "The client does not have authorization to perform action.")),
} as const;

function without(response: Fault["response"]): Fault {
  return { hasEffect: false, response };
}

function after(response: Fault["response"]): Fault {
  return { hasEffect: true, response };
}
