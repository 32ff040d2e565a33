// The parts that the OpenAPI 3.1 documents of all services share.

export const problem = (description: string) =>
  ({
    description,
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  }) as const;

export const text = (description: string, example: string) =>
  ({ description, content: { "text/plain": { schema: { type: "string" }, example } } }) as const;

const ETAG = '(W/)?"[!#-~]*"';

/** JSON Schema of the `If-Match` header: `*` or a list of ETags (RFC 9110 §13.1.1) in ASCII. */
export const ifMatchSchema = {
  anyOf: [{ enum: ["*"] }, { type: "string", maxLength: 1024, pattern: `^${ETAG}([ \\t]*,[ \\t]*${ETAG})*$` }],
  examples: ["*", '"abc"'],
} as const;

export const ifMatch = {
  name: "If-Match",
  in: "header",
  schema: ifMatchSchema,
  description:
    "One or more ETags, or *. The change applies only to an entry that has one of them. A weak ETag matches no entry.",
} as const;

export const ifNoneMatchAny = {
  name: "If-None-Match",
  in: "header",
  schema: { enum: ["*"] },
  description: "Only *: the change applies only while there is no entry.",
} as const;

/** The routes of `addCommonRoutes`. */
export const commonPaths = {
  "/healthz": { get: { operationId: "liveness", responses: { 200: text("The process is running.", "ok") } } },
  "/readyz": {
    get: {
      operationId: "readiness",
      responses: {
        200: text("The service can serve requests.", "ok"),
        503: problem("The service cannot serve requests, or is shutting down. The title gives the reason."),
      },
    },
  },
  "/metrics": { get: { operationId: "metrics", responses: { 200: text("Prometheus metrics.", "# HELP …") } } },
  "/openapi.json": {
    get: {
      operationId: "openapi",
      responses: { 200: { description: "This document.", content: { "application/json": { schema: true } } } },
    },
  },
} as const;

export const problemSchema = {
  type: "object",
  description: "Problem details, RFC 9457.",
  required: ["type", "title", "status"],
  properties: {
    type: { type: "string", format: "uri-reference" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string", description: "What the caller can do about it." },
    traceId: { type: "string", description: "W3C trace id, also in the log." },
  },
} as const;
