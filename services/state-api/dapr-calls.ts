import { createSidecarClient, SidecarError, type SidecarRequest, type SidecarResponse } from "../dapr/client.ts";
import { createSdkTransport, type SdkCall } from "./sdk-transport.ts";
import { type Call, StoreError } from "./store.ts";
import { storeFailure } from "./store-failure.ts";

type Outcome = "ok" | StoreError["kind"];

export interface DaprCallsOptions {
  /** Origin of the sidecar's HTTP API. */
  readonly origin: string;
  readonly storeName: string;
  /** How long a request waits for the store, in milliseconds. */
  readonly requestTimeoutMs: number;
  readonly apiToken?: string;
  /** Called when the sidecar may have restarted. */
  readonly onDisconnect?: () => void;
  /** Called after every call to the sidecar. */
  readonly observe?: (operation: string, outcome: Outcome, seconds: number) => void;
}

interface DaprCalls {
  /**
   * Makes one call to the sidecar through the SDK, measured and in the caller's trace.
   * @param sentTimeoutMs see SidecarRequest
   * @throws {StoreError}
   */
  call<T>(operation: string, call: Call, work: (sdkCall: SdkCall) => Promise<T>, sentTimeoutMs?: number): Promise<T>;
  /**
   * The text of the sidecar's metadata, for a request or for none. Sent also when the caller has left, because other
   * requests share the response.
   * @throws {StoreError}
   */
  readMetadata(call?: Call): Promise<string>;
  /** Resolves when the sidecar and its components are ready; rejects within a second when they are not. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

const READY_TIMEOUT_MS = 1_000;
/**
 * How much longer a sidecar call may take than the requests it serves, in milliseconds. The requests that share a call
 * arrived before it left, so their own timeouts come before this one, with one message, and this one only frees the
 * connection. When the process was blocked for longer than that, Node may fire the later timer first; the request then
 * fails with the other message. Writes to Cosmos DB have a shorter timeout of their own: see dapr-store.ts.
 */
const TIMEOUT_MARGIN_MS = 100;

/** The calls of the store to its sidecar. */
export function createDaprCalls(options: DaprCallsOptions): DaprCalls {
  const { origin, storeName, requestTimeoutMs, observe } = options;
  const sidecar = createSidecarClient({ ...options, timeoutMs: requestTimeoutMs + TIMEOUT_MARGIN_MS });
  const createSdkCall = createSdkTransport(send);

  /** @throws {StoreError} `unavailable` when there is no response */
  async function reach(path: string, request: SidecarRequest): Promise<SidecarResponse> {
    try {
      return await sidecar.request(path, request);
    } catch (error) {
      if (!(error instanceof SidecarError)) throw error;
      if (error.kind === "too-large" || error.kind === "overloaded") {
        throw new StoreError(error.kind, error.message, { cause: error });
      }
      const advice = error.kind === "unreachable" ? '; "npm start" or "dapr run -f ." starts one' : "";
      throw new StoreError("unavailable", error.message + advice, { cause: error });
    }
  }

  /** @throws {StoreError} when there is no response, or when it is an error */
  async function send(path: string, request: SidecarRequest): Promise<SidecarResponse> {
    const response = await reach(path, request);
    if (response.statusCode >= 400) throw storeFailure(response, storeName);
    return response;
  }

  async function measure<T>(operation: string, work: () => Promise<T>, call?: Call): Promise<T> {
    const started = performance.now();
    const end = (outcome: Outcome) => observe?.(operation, outcome, (performance.now() - started) / 1000);
    try {
      const result = await work();
      end("ok");
      return result;
    } catch (error) {
      const wasSent = error !== call?.ended;
      if (wasSent) end(error instanceof StoreError ? error.kind : "refused");
      throw error;
    }
  }

  return {
    async call(operation, call, work, sentTimeoutMs) {
      if (call.ended) throw call.ended;
      const sdkCall = await createSdkCall({ trace: call.trace(), caller: call, sentTimeoutMs });
      return measure(operation, () => work(sdkCall), call);
    },
    async readMetadata(call) {
      const { text } = await measure("metadata", () => send("/v1.0/metadata", { trace: call?.trace() }));
      return text;
    },
    async ready() {
      const [{ statusCode }] = await Promise.all([
        reach("/v1.0/healthz/outbound", { timeoutMs: READY_TIMEOUT_MS }),
        createSdkCall({}), // loads the SDK
      ]);
      if (statusCode !== 204) throw new StoreError("unavailable", `the Dapr sidecar at ${origin} is not ready yet`);
    },
    close: sidecar.close,
  };
}
