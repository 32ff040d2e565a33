// W3C trace context (https://www.w3.org/TR/trace-context/). Only the sidecars of this suite record spans.
//
// The calls of a request with a `traceparent` carry it and its `tracestate` unchanged, unless that is too long. So the
// caller's decision to sample holds in every sidecar, and their spans are children of the caller's. A span id of our
// own would name a parent that no service records. A `traceparent` of a higher version than 00 is sent as version 00,
// without the fields and flags that only the higher version has:
// https://www.w3.org/TR/trace-context/#versioning-of-traceparent
//
// For a request without `traceparent`, a service must not invent one. A daprd samples
// `ParentBased(TraceIDRatioBased(samplingRate))` (pkg/diagnostics/tracing_sampler.go, 1.18.2): flags 00 would switch
// off the spans in every sidecar, 01 would override their rate, and daprd accepts a trace id only with such a decision.
// So the first call has no `traceparent`: the sidecar starts the trace, decides, and returns a `traceparent`. The
// request adopts it for its logs, its problem details and its further calls. The limits:
// - Until that response, the request has an id of its own. Logs and problem details keep it when there is no response,
//   or when the sidecar does not trace. It travels as `dapr-request-id`: the next service of the suite logs it unless
//   there is a trace, and daprd adds headers named `dapr-…` to the attributes of its spans.
// - Calls that are sent at the same time, such as those of GET /api/health, become a trace each. The request adopts the
//   trace of the first response.
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";

/** A trace that a caller or a sidecar has begun. */
interface TraceContext {
  /** 32 hex digits. */
  readonly id: string;
  readonly sampled: boolean;
  /** For a call to the sidecar. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Trace {
  /** 32 hex digits, for logs and problem details. */
  readonly id: string;
  /** Undefined until a caller or a sidecar has decided whether to sample the trace. */
  readonly sampled: boolean | undefined;
  /** For a call to the sidecar. */
  headers(): Readonly<Record<string, string>>;
  /** Adopts the trace that a sidecar started, if it started one. No effect on a trace that has begun. */
  adopt(context: TraceContext | undefined): void;
}

/** Version 00, or a higher one, which may have more fields. Version ff is invalid. */
const TRACEPARENT = /^(?:(00)|(?!ff)[0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/**
 * As much as every participant must pass on: https://www.w3.org/TR/trace-context/#tracestate-limits. A sidecar rejects
 * a request with larger headers or other bytes, and in state-api other callers share the request.
 */
const TRACESTATE = /^[ -~]{1,512}$/;
const REQUEST_ID = "dapr-request-id";
/** The property of a request that holds its trace. A WeakMap would cost 1 µs for each request. */
const TRACE = Symbol("trace");

/** The trace that a request belongs to. */
export function traceOf(request: IncomingMessage & { [TRACE]?: Trace }): Trace {
  request[TRACE] ??= createTrace(request.headers);
  return request[TRACE];
}

/**
 * Chooses the trace of a call that serves several requests, because a call belongs to one trace only. Prefers a sampled
 * trace, then one that leaves the decision to the sidecar. All requests of the latter kind adopt the sidecar's
 * decision.
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
    headers: () => chosen.headers(),
    adopt(context) {
      for (const member of undecided) member.adopt(context);
    },
  };
}

/** @param received headers of the request */
export function createTrace(received: IncomingHttpHeaders = {}): Trace {
  return new RequestTrace(received);
}

/** A class, because every request has one: creating an object with functions of its own would cost 0.4 µs. */
class RequestTrace implements Trace {
  private readonly received: IncomingHttpHeaders;
  private context: TraceContext | undefined;
  private ownId: string | undefined;

  constructor(received: IncomingHttpHeaders) {
    this.received = received;
    this.context = readTraceContext(received);
    this.ownId = undefined;
  }

  get id(): string {
    return this.context?.id ?? this.requestId();
  }

  get sampled(): boolean | undefined {
    return this.context?.sampled;
  }

  headers(): Readonly<Record<string, string>> {
    return this.context?.headers ?? { [REQUEST_ID]: this.requestId() };
  }

  adopt(context: TraceContext | undefined): void {
    this.context ??= context;
  }

  private requestId(): string {
    const sent = this.received[REQUEST_ID];
    this.ownId ??= typeof sent === "string" && /^[0-9a-f]{32}$/.test(sent) ? sent : randomUUID().replaceAll("-", "");
    return this.ownId;
  }
}

/** Undefined without a valid `traceparent`; a sidecar that does not trace sends zeros. */
export function readTraceContext({ traceparent, tracestate }: IncomingHttpHeaders): TraceContext | undefined {
  if (typeof traceparent !== "string") return undefined;
  const [, version00, id, spanId, flags, moreFields] = TRACEPARENT.exec(traceparent) ?? [];
  if (id === undefined || flags === undefined || (version00 && moreFields)) return undefined;
  const sampled = (Number.parseInt(flags, 16) & 1) === 1;
  const sent = version00 ? traceparent : `00-${id}-${spanId}-${sampled ? "01" : "00"}`;
  const passesState = typeof tracestate === "string" && TRACESTATE.test(tracestate);
  return { id, sampled, headers: { traceparent: sent, ...(passesState ? { tracestate } : {}) } };
}
