import { describe, expect, test } from "vitest";
import { createTrace, readTraceContext, shareTrace } from "../../../services/runtime/trace.ts";

const id = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";
const traceparent = `00-${id}-${spanId}-01`;
const unsampled = `00-${id}-${spanId}-00`;

describe("readTraceContext", () => {
  test("passes version 00 on as it is, and reads its id and whether it is sampled", () => {
    expect(readTraceContext({ traceparent })).toEqual({ id, sampled: true, headers: { traceparent } });
    expect(readTraceContext({ traceparent: unsampled })).toEqual({
      id,
      sampled: false,
      headers: { traceparent: unsampled },
    });
    const flags = `00-${id}-${spanId}-f2`;
    expect(readTraceContext({ traceparent: flags })).toMatchObject({ sampled: false, headers: { traceparent: flags } });
    expect(readTraceContext({ traceparent: `00-${id}-00f067aa0ba902b7-1f` })).toMatchObject({ sampled: true });
  });

  test.each([
    [`cc-${id}-${spanId}-01`, traceparent],
    [`cc-${id}-${spanId}-03-more-fields`, traceparent],
    [`0f-${id}-${spanId}-02`, unsampled],
  ])("sends %s of a higher version as version 00", (received, sent) => {
    expect(readTraceContext({ traceparent: received })?.headers).toEqual({ traceparent: sent });
  });

  test.each([
    undefined,
    "",
    `ff-${id}-${spanId}-01`,
    `00-${id}-${spanId}-01-more`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${id}-${"0".repeat(16)}-01`,
    `00-${id.toUpperCase()}-${spanId}-01`,
    `00-${id.slice(1)}-${spanId}-01`,
    `00-${id}-${spanId}0-01`,
    `00-${id}-${spanId}-0`,
    `00-${id}-${spanId}-011`,
    `x00-${id}-${spanId}-01`,
    `000-${id}-${spanId}-01`,
    `cc-${id}-${spanId}-01x`,
    `CC-${id}-${spanId}-01`,
  ])("ignores the traceparent %s", (received) => {
    expect(readTraceContext({ traceparent: received })).toBeUndefined();
    expect(createTrace({ traceparent: received }).headers()).not.toHaveProperty("traceparent");
  });

  test("passes a tracestate of 1 to 512 printable ASCII characters on, and no other", () => {
    const headersFor = (tracestate: string) => readTraceContext({ traceparent, tracestate })?.headers;
    for (const tracestate of ["a=1", "x".repeat(512), " ~"]) {
      expect(headersFor(tracestate)).toEqual({ traceparent, tracestate });
    }
    for (const tracestate of ["", "x".repeat(513), "a=é", "a=1\t", "\ta=1"]) {
      expect(headersFor(tracestate)).toEqual({ traceparent });
    }
    expect(readTraceContext({ traceparent })?.headers).not.toHaveProperty("tracestate");
    expect(readTraceContext({ tracestate: "a=1" })).toBeUndefined();
  });
});

describe("the trace of a request", () => {
  test("with a traceparent is that trace, and adopts no other", () => {
    const trace = createTrace({ traceparent });
    trace.adopt(readTraceContext({ traceparent: `00-${"1".repeat(32)}-${spanId}-00` }));
    expect([trace.id, trace.sampled, trace.headers()]).toEqual([id, true, { traceparent }]);
  });

  test("without one has an id of its own, which it sends, until it adopts the trace of the sidecar", () => {
    const trace = createTrace();
    const own = trace.id;
    expect(own).toMatch(/^[0-9a-f]{32}$/);
    expect(trace.id).toBe(own);
    expect(trace.sampled).toBeUndefined();
    expect(trace.headers()).toEqual({ "dapr-request-id": own });
    expect(createTrace().id).not.toBe(own);
    trace.adopt(undefined);
    expect(trace.id).toBe(own);
    trace.adopt(readTraceContext({ traceparent: unsampled }));
    expect([trace.id, trace.sampled, trace.headers()]).toEqual([id, false, { traceparent: unsampled }]);
  });

  test("has the id that another service of the suite sent, when it is one", () => {
    expect(createTrace({ "dapr-request-id": id }).id).toBe(id);
    for (const sent of [`${id}0`, `0${id}`, id.toUpperCase(), "", [id] as never]) {
      const { id: own } = createTrace({ "dapr-request-id": sent });
      expect(own).toMatch(/^[0-9a-f]{32}$/);
      expect(own).not.toBe(id);
    }
  });
});

describe("the trace of a call for several requests", () => {
  const sampled = () => createTrace({ traceparent });
  const not = () => createTrace({ traceparent: unsampled });

  test("is a sampled one, else one that leaves the decision to the sidecar, else the first", () => {
    const [a, b, c] = [not(), createTrace(), sampled()];
    expect(shareTrace([a, b, c])).toBe(c);
    expect(shareTrace([a, b]).id).toBe(b.id);
    expect(shareTrace([a, not()])).toBe(a);
  });

  test("that leaves the decision to the sidecar gives it to all requests of that kind, and to no other", () => {
    const [a, b, c] = [createTrace(), not(), createTrace()];
    const shared = shareTrace([a, b, c]);
    expect(shared.sampled).toBeUndefined();
    expect(shared.headers()).toEqual({ "dapr-request-id": a.id });
    shared.adopt(readTraceContext({ traceparent: `00-${"1".repeat(32)}-${spanId}-01` }));
    expect([a.id, b.id, c.id]).toEqual(["1".repeat(32), id, "1".repeat(32)]);
  });

  test("needs at least one request", () => {
    expect(() => shareTrace([])).toThrow("a call is made for at least one request");
  });
});
