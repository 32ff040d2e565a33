// Every request to a part of Azure passes through this file: it delays, fails and records requests as tests demand.
import { setTimeout as sleep } from "node:timers/promises";
import type { AzureRequest, AzureResponse } from "./http.ts";
import type { Part } from "./parts.ts";
import { decode } from "./tokens.ts";

export interface Traffic {
  /** All requests since the start, including those with an error response. */
  readonly requests: readonly RecordedRequest[];
  /** Milliseconds by which a part delays its responses; Infinity: it accepts requests and never responds. */
  readonly latencyMs: Record<Part, number>;
  /** Responds to the next `count` requests of a part with `response`. */
  failNext(
    part: Part,
    count: number,
    response: { status: number; headers?: Record<string, string>; body?: unknown },
  ): void;
}

export interface RecordedRequest {
  readonly part: Part;
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** Status of the response; 0: there was none. */
  readonly status: number;
  /** Id and owner of the bearer token, if the request has one. */
  readonly token: { readonly id: unknown; readonly clientId: unknown } | undefined;
  /** Id of the client assertion, if the request has one. */
  readonly assertionId: unknown;
  /** As sent. */
  readonly body: string;
}

type Respond = (request: AzureRequest) => AzureResponse | Promise<AzureResponse>;

/** @param handlers What each part responds when no failure is due. */
export function createTraffic(handlers: Readonly<Record<Part, Respond>>) {
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
    /** Undefined: the client gets no response. */
    async respond(part: Part, request: AzureRequest): Promise<AzureResponse | undefined> {
      const latency = traffic.latencyMs[part];
      if (latency === Number.POSITIVE_INFINITY) {
        requests.push(record(part, request, 0));
        return undefined;
      }
      if (latency > 0) await sleep(latency);
      const response = failures[part].shift() ?? (await handlers[part](request));
      requests.push(record(part, request, response.status));
      return response;
    },
  };
}

function record(
  part: Part,
  { method, url: { pathname, search }, headers, body }: AzureRequest,
  status: number,
): RecordedRequest {
  const claims = decode(headers.authorization?.slice("Bearer ".length) ?? "")?.claims;
  const assertion = part === "entra" ? new URLSearchParams(body).get("client_assertion") : null;
  return {
    part,
    method,
    path: pathname + search,
    status,
    token: claims && { id: claims.uti, clientId: claims.appid },
    assertionId: assertion === null ? undefined : decode(assertion)?.claims.jti,
    body,
  };
}
