import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** W3C trace context of one request, https://www.w3.org/TR/trace-context/ */
export interface Trace {
  /** 32 hex digits: what logs and problem details name. */
  readonly id: string;
  /** Header value for whatever this request calls. */
  readonly traceparent: string;
}

const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;
const traces = new WeakMap<IncomingMessage, Trace>();

/** The trace the caller sent continued with a span of our own, or a new one. */
export function traceOf(request: IncomingMessage): Trace {
  const known = traces.get(request);
  if (known) return known;
  const header = request.headers.traceparent;
  const [, id = randomHex(32), flags = "00"] = (typeof header === "string" && TRACEPARENT.exec(header)) || [];
  const trace = { id, traceparent: `00-${id}-${randomHex(16)}-${flags}` };
  traces.set(request, trace);
  return trace;
}

/** From the end of a UUID, where all but two bits are random: Node makes those in advance, which randomBytes does not. */
function randomHex(digits: 16 | 32): string {
  return randomUUID().replaceAll("-", "").slice(-digits);
}
