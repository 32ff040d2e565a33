// W3C trace context (https://www.w3.org/TR/trace-context/) of a suite whose only spans are those of its sidecars.
//
// A request with a `traceparent` passes it on unchanged, `tracestate` too: the caller's decision to sample or not holds in
// every sidecar, and their spans are children of the caller's. A span id of our own would be a parent that nobody records.
//
// A request without one must not invent one. A daprd samples `ParentBased(TraceIDRatioBased(samplingRate))`
// (pkg/diagnostics/tracing_sampler.go, 1.18.2): flags 00 would switch off the spans in every sidecar, 01 would override
// their rate, and daprd takes a trace id only together with a decision. So the first call leaves without `traceparent`: the
// sidecar starts the trace, decides, and names it in the `traceparent` of its response, which the request then adopts for
// its logs, its problem details and its further calls. The limits:
// - Until that response, the request has an id of its own. Logs and problem details keep it when there is no response, or
//   when the sidecar does not trace. It travels as `dapr-request-id`: the next service of the suite logs it unless there is
//   a trace, and daprd adds headers named `dapr-…` to the attributes of its spans.
// - Calls that leave at once, such as those of GET /api/health, become a trace each. The request has the id of the first
//   that responds.
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";

export interface Trace {
  /** 32 hex digits, for logs and problem details. */
  readonly id: string;
  /** Undefined until somebody has decided whether the trace is sampled. */
  readonly sampled: boolean | undefined;
  /** For a call to the sidecar. */
  headers(): Readonly<Record<string, string>>;
  /** Adopts the trace that a sidecar started, given the headers of its response. No effect on a trace that has begun. */
  adopt(headers: IncomingHttpHeaders): void;
}

interface Context {
  readonly id: string;
  readonly sampled: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]([0-9a-f])$/;
const REQUEST_ID = "dapr-request-id";
/** Where a request keeps its trace; a WeakMap costs 1 µs for each request. */
const TRACE = Symbol("trace");

/** The trace that a request belongs to. */
export function traceOf(request: IncomingMessage & { [TRACE]?: Trace }): Trace {
  request[TRACE] ??= createTrace(request.headers);
  return request[TRACE];
}

/**
 * The trace of one call that is made for several requests. The call can be in only one: a sampled one if there is any, else
 * one that leaves the decision to the sidecar. Requests of the latter kind all adopt what the sidecar decides.
 * @param members at least one
 */
export function shareTrace(members: readonly Trace[]): Trace {
  const undecided = members.filter(({ sampled }) => sampled === undefined);
  const chosen = members.find(({ sampled }) => sampled) ?? undecided[0] ?? members[0];
  if (!chosen) throw new Error("a call is made for at least one request");
  if (chosen !== undecided[0]) return chosen;
  return {
    id: chosen.id,
    sampled: undefined,
    headers: chosen.headers,
    adopt: (headers) => {
      for (const member of undecided) member.adopt(headers);
    },
  };
}

/** @param received headers of the request */
export function createTrace(received: IncomingHttpHeaders = {}): Trace {
  let context = readContext(received);
  let ownId: string | undefined;

  function requestId(): string {
    const sent = received[REQUEST_ID];
    ownId ??= typeof sent === "string" && /^[0-9a-f]{32}$/.test(sent) ? sent : randomUUID().replaceAll("-", "");
    return ownId;
  }

  return {
    get id() {
      return context?.id ?? requestId();
    },
    get sampled() {
      return context?.sampled;
    },
    headers: () => context?.headers ?? { [REQUEST_ID]: requestId() },
    adopt(headers) {
      context ??= readContext(headers);
    },
  };
}

/** Undefined without a valid `traceparent`; a sidecar that does not trace sends zeros. */
function readContext({ traceparent, tracestate }: IncomingHttpHeaders): Context | undefined {
  if (typeof traceparent !== "string") return undefined;
  const [, id, flags] = TRACEPARENT.exec(traceparent) ?? [];
  if (id === undefined || flags === undefined) return undefined;
  const sampled = (Number.parseInt(flags, 16) & 1) === 1;
  return { id, sampled, headers: typeof tracestate === "string" ? { traceparent, tracestate } : { traceparent } };
}
