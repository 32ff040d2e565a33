import type { DaprClient, HTTPClient } from "@dapr/dapr";
import type { SidecarRequest, SidecarResponse } from "../dapr/client.ts";

type Send = (path: string, request: SidecarRequest) => Promise<SidecarResponse>;

/** Of the requests of one call. */
type Options = Pick<SidecarRequest, "trace" | "caller" | "sentTimeoutMs">;

/** One request of the SDK. */
export interface SdkCall {
  readonly sdk: typeof import("@dapr/dapr");
  /** The SDK's state API. Its requests carry the trace of this call. */
  readonly state: DaprClient["state"];
  /** The sidecar's response, for the status and the ETag, which the SDK drops. */
  response?: SidecarResponse;
}

/**
 * Lets @dapr/dapr 3.18.0 form the requests, and sends them with `send`.
 *
 * The SDK's own transport (implementation/Client/HTTPClient/HTTPClient.js) has no timeout and polls a missing sidecar
 * for 30 s before its first request. It cannot send trace headers, returns neither status nor headers, and takes
 * several times the CPU. All of that is in `execute`, so this file replaces `execute`, on a new object for each call.
 * The rest of the SDK is unchanged.
 */
export function createSdkTransport(send: Send): (options: Options) => Promise<SdkCall> {
  let loading: ReturnType<typeof load> | undefined;

  return async (options) => {
    loading ??= load(); // on first use: it takes longer than everything else before the service listens
    const { sdk, dapr } = await loading;
    const execute: HTTPClient["execute"] = async (path, params) => {
      call.response = await send(`/v1.0${path}`, {
        method: params?.method === "DELETE" ? "DELETE" : params?.body ? "POST" : "GET",
        headers: params?.headers ?? {},
        body: params?.body ? JSON.stringify(params.body) : undefined,
        ...options,
      });
      return parseJson(call.response.text);
    };
    // The state API uses only `execute` and `options` of its client, and reads them at each call of a method.
    const client: HTTPClient = Object.create(dapr.daprClient, { execute: { value: execute } });
    const state: DaprClient["state"] = Object.create(dapr.state, { client: { value: client } });
    const call: SdkCall = { sdk, state };
    return call;
  };
}

async function load() {
  const sdk = await import("@dapr/dapr");
  const silent = { error() {}, warn() {}, info() {}, verbose() {}, debug() {} }; // errors are thrown, not logged
  const dapr = new sdk.DaprClient({
    communicationProtocol: sdk.CommunicationProtocolEnum.HTTP,
    logger: { service: silent },
  });
  return { sdk, dapr };
}

/** Like the SDK, returns a response that is not JSON as text: an empty one, or the bytes of another application. */
function parseJson(text: string) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
