// Tests that a request through several services is one trace. The sidecars record its spans; the services record none.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTrace, readTraceContext, shareTrace } from "../../services/runtime/trace.ts";
import { coalesce } from "../../services/state-api/batching/coalesce.ts";
import { createMemoryStore } from "../support/memory-store.ts";
import { type OtlpReceiver, type Span, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { type Suite, startSuite } from "../support/suite.ts";

const callerId = "0af7651916cd43dd8448eb211c80319c";
const callerSpan = "b7ad6b7169203331";
const sampled = { traceparent: `00-${callerId}-${callerSpan}-01` };
const unsampled = { traceparent: `00-${"1".repeat(32)}-${callerSpan}-00` };
const fromSidecar = { traceparent: `00-${"2".repeat(32)}-${"3".repeat(16)}-01` };

describe("traces of requests", () => {
  test.each([
    ["of more than 512 characters", `vendor=${"x".repeat(506)}`],
    ["with a byte above 127", "vendor=\u00ff"],
    ["with a control character", "vendor=1,\tother=2"],
  ])("a tracestate %s is not passed on, but its traceparent is", (_which, tracestate) => {
    expect(createTrace({ ...unsampled, tracestate }).headers()).toEqual(unsampled);
  });

  test("a tracestate of 512 characters is passed on", () => {
    const received = { ...unsampled, tracestate: `vendor=${"x".repeat(505)}` };
    expect(createTrace(received).headers()).toEqual(received);
  });

  test("a caller's trace keeps its id, its decision and its tracestate, regardless of the sidecar's response", () => {
    const received = { ...unsampled, tracestate: "vendor=1" };
    const trace = createTrace(received);
    trace.adopt(readTraceContext(fromSidecar));
    expect(trace).toMatchObject({ id: "1".repeat(32), sampled: false });
    expect(trace.headers()).toEqual(received);
  });

  test.each([
    ["with more fields", `cc-${callerId}-${callerSpan}-01-more`, "01"],
    ["with unknown flags", `01-${callerId}-${callerSpan}-fe`, "00"],
  ])("a traceparent of a higher version %s is sent as version 00", (_what, traceparent, flags) => {
    const trace = createTrace({ traceparent, tracestate: "vendor=1" });
    expect(trace).toMatchObject({ id: callerId, sampled: flags === "01" });
    expect(trace.headers()).toEqual({
      traceparent: `00-${callerId}-${callerSpan}-${flags}`,
      tracestate: "vendor=1",
    });
  });

  test.each([
    ["version 00 with more fields", `${sampled.traceparent}-more`],
    ["version ff", `ff-${callerId}-${callerSpan}-01`],
    ["a higher version without a dash after the flags", `01-${callerId}-${callerSpan}-01more`],
  ])("an invalid traceparent is ignored: %s", (_what, traceparent) => {
    expect(createTrace({ traceparent }).sampled).toBeUndefined();
  });

  test("a request without traceparent adopts the trace of the first sidecar that responds", () => {
    const trace = createTrace();
    const { id } = trace;
    expect(trace.sampled).toBeUndefined();
    expect(trace.headers()).toEqual({ "dapr-request-id": id });
    // A sidecar without tracing sends zeros.
    trace.adopt(readTraceContext({ traceparent: `00-${"0".repeat(32)}-${"0".repeat(16)}-00` }));
    expect(trace.id).toBe(id);
    trace.adopt(readTraceContext(fromSidecar));
    trace.adopt(readTraceContext(sampled));
    expect(trace).toMatchObject({ id: "2".repeat(32), sampled: true });
    expect(trace.headers()).toEqual(fromSidecar);
  });

  test("a batch uses the trace of a sampled member, or else leaves the decision to the sidecar", () => {
    const [yes, no, open, other] = [sampled, unsampled, {}, {}].map(createTrace);
    if (!yes || !no || !open || !other) throw new Error("there are four traces");
    expect(shareTrace([no, open, yes]).headers()).toEqual(sampled);
    expect(shareTrace([no]).headers()).toEqual(unsampled);
    const shared = shareTrace([no, open, other]);
    expect(shared.headers()).toEqual({ "dapr-request-id": open.id });
    shared.adopt(readTraceContext(fromSidecar));
    expect([no.id, open.id, other.id]).toEqual(["1".repeat(32), "2".repeat(32), "2".repeat(32)]);
  });

  test("a coalesced read uses the trace of a sampled member", async () => {
    const memory = createMemoryStore();
    const sent: object[] = [];
    const store = coalesce(
      {
        ...memory,
        batches: async () => true,
        async get(key, call) {
          await sleep(20);
          return memory.get(key, call);
        },
        async getMany(keys, call) {
          sent.push(call.trace().headers());
          return memory.getMany(keys, call);
        },
      },
      { maxPending: 100 },
    );
    const callers = [{}, unsampled, {}, sampled, unsampled];
    await Promise.all(
      callers.map((headers, index) => {
        const trace = createTrace(headers);
        return store.get(`key-${index}`, { ended: undefined, trace: () => trace });
      }),
    );
    expect(sent).toEqual([sampled]);
  });
});

describe("spans of sidecars that sample every trace", () => {
  let receiver: OtlpReceiver;
  let suite: Suite;
  let welcome: string;
  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    suite = await startSuite({
      configuration: `  tracing:
    samplingRate: "1"
    otel: { endpointAddress: "${receiver.endpoint}", isSecure: false, protocol: http }
`,
      sidecarEnv: { OTEL_BSP_SCHEDULE_DELAY: "100" },
    });
    welcome = suite.services.welcome.origin;
    await get(`${welcome}/api/state/warm-up`); // the first read looks up the component, a span of its own
  }, 60_000);
  afterAll(async () => {
    await suite?.end();
    await receiver?.close();
  });

  async function get(url: string, headers: Record<string, string> = {}): Promise<string> {
    const response = await fetch(url, { headers });
    const { traceId } = (await response.json()) as { traceId: string };
    return traceId;
  }

  /** The spans of a trace, once there are `count`, with the parents before their children. */
  async function spansOf(traceId: string, count: number): Promise<Span[]> {
    const inTrace = () => receiver.spans.filter((span) => span.traceId === traceId);
    await expect.poll(() => inTrace().length, { timeout: 10_000 }).toBe(count);
    const sorted: Span[] = [];
    const ids = new Set(inTrace().map(({ spanId }) => spanId));
    let parent = inTrace().find(({ parentSpanId }) => !ids.has(parentSpanId));
    while (parent) {
      sorted.push(parent);
      const { spanId } = parent;
      parent = inTrace().find(({ parentSpanId }) => parentSpanId === spanId);
    }
    return sorted;
  }

  const wayToTheStore = (parent: string) => [
    { service: "welcome", name: "CallLocal/state-api/state/none", parentSpanId: parent },
    { service: "state-api", name: "CallLocal/state-api/state/none" },
    { service: "state-api", name: "/v1.0/state/statestore/none" },
  ];

  test("a request without traceparent is one trace from welcome to the store, and problem details name it", async () => {
    const traceId = await get(`${welcome}/api/state/none`);
    const spans = await spansOf(traceId, 3);
    expect(spans).toMatchObject(wayToTheStore(""));
    expect(spans[0]?.attributes["dapr-request-id"]).toMatch(/^[0-9a-f]{32}$/);
  });

  test("a request with flags 00 has no span, and one with flags 01 continues the caller's trace", async () => {
    expect(await get(`${welcome}/api/state/none`, unsampled)).toBe("1".repeat(32));
    expect(await get(`${welcome}/api/state/none`, sampled)).toBe(callerId);
    expect(await spansOf(callerId, 3)).toMatchObject(wayToTheStore(callerSpan));
    expect(receiver.spans.filter(({ traceId }) => traceId === "1".repeat(32))).toEqual([]);
  });

  test("a conditional write, which is two requests to the sidecar, is one trace", async () => {
    const response = await fetch(`${suite.services["state-api"].origin}/state/new`, {
      method: "PUT",
      headers: { "Content-Type": "application/json", "If-None-Match": "*" },
      body: "1",
    });
    expect(response.status).toBe(201);
    const findRead = () => receiver.spans.find(({ name }) => name === "/v1.0/state/statestore/new");
    await expect.poll(findRead, { timeout: 10_000 }).toBeDefined();
    expect(await spansOf(findRead()?.traceId ?? "", 2)).toMatchObject([
      { name: "/v1.0/state/statestore/new", parentSpanId: "" },
      { name: "/v1.0/state/statestore" },
    ]);
  });

  test("a batch is in the trace of its sampled member", async () => {
    const { origin } = suite.services["state-api"];
    // On a busy machine, the sampled read may be sent singly, because no other call is at the store: then retry.
    let span: Span | undefined;
    for (let round = 10; round < 30 && !span?.name.endsWith("/bulk"); round++) {
      const traceId = `${round}`.repeat(16);
      const member = { traceparent: `00-${traceId}-${callerSpan}-01` };
      const reads = Array.from({ length: 40 }, (_, index) =>
        get(`${origin}/state/none-${index}`, index === 20 ? member : unsampled),
      );
      await Promise.all(reads);
      [span] = await spansOf(traceId, 1);
    }
    expect(span).toMatchObject({
      service: "state-api",
      name: "/v1.0/state/statestore/bulk",
      parentSpanId: callerSpan,
    });
  });

  test("the problem details that welcome returns when state-api is down name the trace", async () => {
    await suite.services["state-api"].end();
    const traceId = await get(`${welcome}/api/state/none`);
    const spans = await spansOf(traceId, 2);
    expect(spans.map(({ service }) => service)).toEqual(["welcome", "state-api"]);
  });
});

test("the dapr-request-id of a request reaches state-api through sidecars without tracing", async () => {
  const suite = await startSuite();
  try {
    const headers = { "dapr-request-id": callerId };
    const response = await fetch(`${suite.services.welcome.origin}/api/state/none`, { headers });
    expect(await response.json()).toMatchObject({ status: 404, traceId: callerId });
  } finally {
    await suite.end();
  }
}, 60_000);
