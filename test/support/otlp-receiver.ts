import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import protobuf from "protobufjs";

export interface Span {
  /** App id of the sidecar that recorded it. */
  readonly service: string;
  readonly name: string;
  /** Hex digits. */
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root span. */
  readonly parentSpanId: string;
  /** Text attributes only. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface OtlpReceiver {
  /** `host:port`, the form of daprd's `tracing.otel.endpointAddress`. */
  readonly endpoint: string;
  /** All spans so far. */
  readonly spans: readonly Span[];
  close(): Promise<void>;
}

/** Receives spans by OTLP over HTTP with protobuf bodies, the only format of daprd's `http` exporter. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: Span[] = [];
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    spans.push(...decode(Buffer.concat(chunks)));
    res.writeHead(200, { "Content-Type": "application/x-protobuf" }).end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `127.0.0.1:${port}`,
    spans,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

// The fields that the tests read, https://github.com/open-telemetry/opentelemetry-proto/tree/v1.10.0/opentelemetry/proto
const { root } = protobuf.parse(`
  syntax = "proto3";
  message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ScopeSpans { repeated WireSpan spans = 2; }
  message WireSpan {
    bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5; repeated KeyValue attributes = 9;
  }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue { string string_value = 1; }
`);
const type = root.lookupType("ExportTraceServiceRequest");

interface ExportTraceServiceRequest {
  readonly resourceSpans: readonly {
    readonly resource?: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

interface WireSpan {
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly parentSpanId: Buffer;
  readonly name: string;
  readonly attributes: readonly KeyValue[];
}

interface KeyValue {
  readonly key: string;
  readonly value?: { readonly stringValue: string };
}

function decode(body: Buffer): Span[] {
  // protobufjs returns the messages of the schema above, with names in camel case.
  const { resourceSpans } = type.decode(body) as unknown as ExportTraceServiceRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = toRecord(resource?.attributes ?? [])["service.name"] ?? "";
    return scopeSpans.flatMap((scope) =>
      scope.spans.map(({ traceId, spanId, parentSpanId, name, attributes }) => ({
        service,
        name,
        traceId: traceId.toString("hex"),
        spanId: spanId.toString("hex"),
        parentSpanId: parentSpanId.toString("hex"),
        attributes: toRecord(attributes),
      })),
    );
  });
}

function toRecord(attributes: readonly KeyValue[]): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value?.stringValue ?? ""]));
}
