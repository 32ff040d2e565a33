// Every request to a part of Azure passes through this file. For tests, it records requests, and delays or fails them.
import { setTimeout as sleep } from "node:timers/promises";
import type { AzureRequest, AzureResponse } from "./http.ts";
import type { Part } from "./parts.ts";
import { decode } from "./tokens.ts";

export interface Traffic {
  /** All requests since the start, in the order of arrival, if they are recorded. */
  readonly requests: readonly RecordedRequest[];
  /** Milliseconds by which a part delays its responses; Infinity: it accepts requests and never responds. */
  readonly latencyMs: Record<Part, number>;
  /** Makes a part send `response` to its next `count` requests. */
  failNext(
    part: Part,
    count: number,
    response: { status: number; headers?: Record<string, string>; body?: unknown },
  ): void;
}

interface RecordedRequest {
  readonly part: Part;
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** Status of the response; 0 until it is sent. */
  readonly status: number;
  /** Id and owner of the bearer token, if the request has one. */
  readonly token: { readonly id: unknown; readonly clientId: unknown } | undefined;
  /** Id of the client assertion, if the request has one. */
  readonly assertionId: unknown;
  /** As sent. */
  readonly body: string;
}

type Handler = (request: AzureRequest) => AzureResponse | Promise<AzureResponse>;

/** @param isRecording Recorded requests stay in memory until the process ends, so only tests record them. */
export function createTraffic(handlers: Readonly<Record<Part, Handler>>, isRecording: boolean) {
  const requests: RecordedRequest[] = [];
  const failures: Record<Part, AzureResponse[]> = { identity: [], imds: [], entra: [], arm: [] };
  const traffic: Traffic = {
    requests,
    latencyMs: { identity: 0, imds: 0, entra: 0, arm: 0 },
    failNext(part, count, { body = "", ...response }) {
      failures[part].push(...Array.from({ length: count }, () => ({ body, ...response })));
    },
  };
  return {
    ...traffic,
    /** Resolves with undefined when the client is to get no response. */
    async respond(part: Part, request: AzureRequest): Promise<AzureResponse | undefined> {
      const recorded = isRecording ? record(part, request) : undefined;
      if (recorded) requests.push(recorded);
      const latency = traffic.latencyMs[part];
      if (latency === Number.POSITIVE_INFINITY) return undefined;
      if (latency > 0) await sleep(latency);
      const response = failures[part].shift() ?? (await handlers[part](request));
      if (recorded) recorded.status = response.status;
      return response;
    },
  };
}

function record(part: Part, { method, url: { pathname, search }, headers, body }: AzureRequest) {
  const claims = decode(headers.authorization?.slice("Bearer ".length) ?? "")?.claims;
  const assertion = part === "entra" ? new URLSearchParams(body).get("client_assertion") : null;
  return {
    part,
    method,
    path: pathname + search,
    status: 0,
    token: claims && { id: claims.uti, clientId: claims.appid },
    assertionId: assertion === null ? undefined : decode(assertion)?.claims.jti,
    body,
  };
}
