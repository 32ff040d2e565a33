import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import type { Dispatcher, Pool } from "undici";
import { BodyBuffer, BodyMemory } from "../runtime/body-memory.ts";
import { JSON_TYPE } from "../runtime/http.ts";
import { readTraceContext, type Trace } from "../runtime/trace.ts";

interface SidecarClientOptions {
  /** Origin of the sidecar's HTTP API, such as `http://127.0.0.1:3500`. */
  readonly origin: string;
  /** Timeout of a request that sets none, in milliseconds. */
  readonly timeoutMs: number;
  /** Sent with every request, unless it is empty. */
  readonly apiToken?: string | undefined;
  /** Called when the sidecar may be another process from then on. */
  readonly onDisconnect?: () => void;
}

export interface SidecarRequest {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** JSON text. */
  readonly body?: string | undefined;
  /** Sends the body in chunks, without its length. */
  readonly chunked?: boolean;
  /** Sent with the request; adopts the trace that the sidecar starts for it. */
  readonly trace?: Trace | undefined;
  /** Its `ended` says why nobody waits for the response. If it is set before a connection is free, nothing is sent. */
  readonly caller?: { readonly ended: Error | undefined } | undefined;
  /** Milliseconds from the dispatch to the last byte of the response, including the wait for a free connection. */
  readonly timeoutMs?: number;
  /** Milliseconds from when the request leaves, after the wait for a free connection, to the last byte. */
  readonly sentTimeoutMs?: number | undefined;
}

export interface SidecarResponse {
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface SidecarClient {
  /**
   * Sends a request and reads the whole response. Every status resolves, 4xx and 5xx included.
   * @param path absolute, such as `/v1.0/healthz`
   * @throws {SidecarError} when there is no complete response
   * @throws what `caller.ended` is once a connection is free
   */
  request(path: string, request: SidecarRequest): Promise<SidecarResponse>;
  close(): Promise<void>;
}

/**
 * There is no complete response from the sidecar. Except when it is `unreachable`, it may have acted. `too-large`: the
 * response exceeds MAX_RESPONSE_BYTES. `overloaded`: the process holds too many large bodies.
 */
export class SidecarError extends Error {
  override readonly name = "SidecarError";
  readonly kind: "unreachable" | "interrupted" | "timeout" | "too-large" | "overloaded";

  constructor(kind: SidecarError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

const CONNECT_TIMEOUT_MS = 1_000;
/** A value has at most 4 MiB, because the sidecar accepts no larger body. The rest is for the keys of a bulk read. */
export const MAX_RESPONSE_BYTES = 5 * 1_048_576;

/** A pool of connections to the sidecar's HTTP API. */
export function createSidecarClient({
  origin,
  timeoutMs,
  apiToken,
  onDisconnect,
}: SidecarClientOptions): SidecarClient {
  let connecting: Promise<Pool> | undefined;

  /** Loads undici on first use: loading it before the service listens would double the time to start. */
  function connect(): Promise<Pool> {
    connecting ??= import("undici").then(({ Pool }) => {
      const pool = new Pool(origin, { connections: 64, connect: { timeout: CONNECT_TIMEOUT_MS } });
      let open = 0;
      pool.on("connect", () => open++);
      pool.on("disconnect", (_origin, _targets, { message }) => {
        open--;
        // undici calls a connection "aborted" whose request timed out. While another one is open, its own end will
        // report the sidecar's.
        if (message !== "aborted" || open === 0) onDisconnect?.();
      });
      return pool;
    });
    return connecting;
  }

  return {
    async request(path, { method = "GET", headers, body, chunked, trace, ...options }) {
      const pool = await connect();
      const allHeaders = {
        ...headers,
        "content-type": body === undefined ? undefined : JSON_TYPE,
        "dapr-api-token": apiToken || undefined,
        ...trace?.headers(),
      };
      const content = body !== undefined && chunked ? Readable.from([Buffer.from(body)]) : (body ?? null);
      const sent = { origin, path, method, headers: allHeaders, body: content };
      const response = await dispatch(pool, sent, { timeoutMs, ...options });
      trace?.adopt(readTraceContext(response.headers));
      return response;
    },
    close: async () => (await connecting)?.close(),
  };
}

type Dispatch = Dispatcher.DispatchOptions & { readonly origin: string };

/**
 * Undici's `request` and `fetch` create a stream for every body and an AbortSignal for every timeout. Dispatching
 * without them halves the CPU time of a request.
 */
function dispatch(
  pool: Pool,
  options: Dispatch,
  { timeoutMs, sentTimeoutMs, caller }: Pick<SidecarRequest, "sentTimeoutMs" | "caller"> & { timeoutMs: number },
): Promise<SidecarResponse> {
  return new Promise((resolve, reject) => {
    const memory = new BodyMemory();
    const body = new BodyBuffer(memory);
    let statusCode = 0;
    let headers: IncomingHttpHeaders = {};
    let sent: Dispatcher.DispatchController | undefined;
    let aborted: Error | undefined;
    const settle = () => {
      clearTimeout(timer);
      body.free();
      memory.release();
    };
    const abort = (reason: Error) => {
      aborted = reason;
      // Undici calls onResponseError at once.
      if (sent) sent.abort(reason);
      else reject(reason);
    };
    const startTimer = (milliseconds: number) =>
      setTimeout(() => {
        const message = `no response from the Dapr sidecar at ${options.origin} within ${milliseconds} ms`;
        abort(new SidecarError("timeout", message));
      }, milliseconds);
    let timer = startTimer(timeoutMs);
    pool.dispatch(options, {
      // A connection is free, and nothing is sent yet.
      onRequestStart(controller) {
        if (aborted) return controller.abort(aborted);
        sent = controller;
        if (caller?.ended) return abort(caller.ended);
        if (sentTimeoutMs !== undefined) {
          clearTimeout(timer);
          timer = startTimer(sentTimeoutMs);
        }
      },
      onResponseStart(_controller, status, received) {
        statusCode = status;
        headers = received;
      },
      onResponseData(_controller, chunk) {
        if (body.length + chunk.length > MAX_RESPONSE_BYTES) {
          const message = `the Dapr sidecar's response is larger than ${MAX_RESPONSE_BYTES} bytes`;
          abort(new SidecarError("too-large", message));
        } else if (!body.add(chunk)) {
          abort(new SidecarError("overloaded", "the service holds too many large bodies"));
        }
      },
      onResponseEnd() {
        const text = body.read((bytes) => bytes.toString());
        settle();
        resolve({ statusCode, headers, text });
      },
      onResponseError(_controller, cause) {
        settle();
        const lost = sent
          ? new SidecarError("interrupted", `the Dapr sidecar at ${options.origin} closed the connection`, { cause })
          : new SidecarError("unreachable", `the Dapr sidecar at ${options.origin} is unreachable`, { cause });
        reject(aborted ?? lost);
      },
    });
  });
}
