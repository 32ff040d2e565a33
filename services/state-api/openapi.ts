import { Compile } from "typebox/schema";
import { keySchema as key } from "../dapr/key.ts";
import {
  commonPaths,
  ifMatch,
  ifMatchSchema,
  ifNoneMatchAny,
  problem,
  problemSchema,
  text,
} from "../runtime/openapi.ts";

const ttlInSeconds = {
  type: "integer",
  minimum: 1,
  maximum: 2_147_483_647,
  description: "Seconds until the entry expires. Without it, the entry does not expire.",
} as const;

const data = { description: 'Any JSON value, including null, false, 0 and "".' } as const;

const saveRequest = {
  type: "object",
  additionalProperties: false,
  required: ["key", "data"],
  properties: {
    key,
    data,
    ttlInSeconds,
    etag: { type: "string", minLength: 1, description: "Write only if the entry has this ETag (without quotes)." },
    concurrency: {
      enum: ["first-write", "last-write"],
      description: "first-write without an etag writes only if the key has no entry. Default last-write.",
    },
    consistency: {
      enum: ["strong", "eventual"],
      description: "Passed to the store. On Cosmos DB, Dapr sends strong as Session.",
    },
  },
  // An ETag that last-write ignores would look like a condition.
  dependentSchemas: { etag: { properties: { concurrency: { enum: ["first-write"] } } } },
} as const;

const bulkRequest = {
  type: "object",
  additionalProperties: false,
  required: ["keys"],
  properties: { keys: { type: "array", minItems: 1, maxItems: 100, uniqueItems: true, items: key } },
} as const;

const upsert = {
  type: "object",
  additionalProperties: false,
  required: ["operation", "key", "data"],
  properties: { operation: { const: "upsert" }, key, data, ttlInSeconds },
} as const;

const removal = {
  type: "object",
  additionalProperties: false,
  required: ["operation", "key"],
  properties: { operation: { const: "delete" }, key },
} as const;

const transaction = <const Item extends object>(items: Item) =>
  ({
    type: "object",
    additionalProperties: false,
    required: ["operations"],
    properties: { operations: { type: "array", minItems: 1, maxItems: 100, items } },
    examples: [
      {
        operations: [
          { operation: "upsert", key: "alice~cart", data: { items: [] } },
          { operation: "delete", key: "alice~orders" },
        ],
      },
    ],
  }) as const;

const transactionRequest = transaction({ anyOf: [upsert, removal] });

export const validate = {
  saveRequest: Compile(saveRequest),
  bulkRequest: Compile(bulkRequest),
  transactionRequest: Compile(transactionRequest),
  /** A transaction whose operations have a known `operation`, and perhaps other faults. */
  anyTransaction: Compile(
    transaction({
      type: "object",
      required: ["operation"],
      properties: { operation: { enum: ["upsert", "delete"] } },
    }),
  ),
  upsert: Compile(upsert),
  delete: Compile(removal),
  ifMatch: Compile(ifMatchSchema),
};

const json = (schema: object) => ({ required: true, content: { "application/json": { schema } } });
const unreadable = {
  400: problem("The body, the key or a header does not match this document. Nothing was changed."),
  413: problem("The body is larger than MAX_BODY_BYTES."),
  415: problem("The Content-Type is not application/json."),
};
const storeErrors = {
  500: problem("The store rejected the request."),
  503: problem("The sidecar or the store is unreachable, not ready, too slow or overloaded. Retry after Retry-After."),
};
const etagHeader = { ETag: { description: "Changes with every write.", required: true, schema: { type: "string" } } };
const welcome = { 200: text("The WELCOME text.", "Hello from Super API on Container Apps") };

/** OpenAPI links to the operations on an entry. @param key runtime expression of its key */
const entryLinks = (key: string) =>
  Object.fromEntries(
    ["read", "replace", "remove"].map((operationId) => [operationId, { operationId, parameters: { key } }]),
  );

/**
 * GET, PUT and DELETE of one entry.
 * @param of appended to the operation ids, which are unique in a document
 * @param links for the responses
 */
const entryOperations = (of: string, links?: ReturnType<typeof entryLinks>) => ({
  get: {
    operationId: `read${of}`,
    summary: "Reads a value.",
    parameters: [
      {
        name: "If-None-Match",
        in: "header",
        schema: { type: "string" },
        description: "ETags that the caller has. Returns 304 when the entry still has one of them.",
      },
    ],
    responses: {
      200: { description: "The value.", headers: etagHeader, content: { "application/json": { schema: data } } },
      304: { description: "The entry has not changed.", headers: etagHeader },
      400: unreadable[400],
      404: problem("The key has no entry."),
      ...storeErrors,
    },
  },
  put: {
    operationId: `replace${of}`,
    summary: "Saves the body as the value.",
    parameters: [ifMatch, ifNoneMatchAny],
    requestBody: json(data),
    responses: {
      201: { description: "Created. Only for If-None-Match: *.", links },
      204: { description: "Saved.", links },
      ...unreadable,
      412: problem("The condition does not hold. Nothing was changed."),
      ...storeErrors,
    },
  },
  delete: {
    operationId: `remove${of}`,
    summary: "Deletes an entry.",
    parameters: [ifMatch],
    responses: {
      204: { description: "Deleted, or the key had no entry.", links },
      400: unreadable[400],
      412: problem("The condition does not hold. Nothing was changed."),
      ...storeErrors,
    },
  },
});

/** The OpenAPI document of the service. Its schemas also validate the requests. */
export const openapi = {
  openapi: "3.1.0",
  info: {
    title: "State API",
    version: "1.0.0",
    description: "Stores JSON values in a Dapr state store.",
    "x-try": [
      `curl -X POST $URL/state -H "Content-Type: application/json" -d '{"key": "greeting", "data": {"hello": "world"}}'`,
      "curl $URL/state/greeting",
    ],
  },
  paths: {
    "/": { get: { operationId: "welcome", responses: welcome } },
    "/state": {
      post: {
        operationId: "save",
        summary: "Saves a value.",
        requestBody: json({ $ref: "#/components/schemas/SaveRequest" }),
        responses: {
          200: {
            description: "Saved. JSON when Accept prefers it.",
            links: entryLinks("$request.body#/key"),
            content: {
              "text/plain": { schema: { type: "string" }, example: "Successfully wrote to statestore" },
              "application/json": {
                schema: { type: "object", properties: { message: { type: "string" }, key: { type: "string" } } },
              },
            },
          },
          ...unreadable,
          409: problem(
            "The etag does not match or, for first-write without one, the entry already exists. Nothing was changed.",
          ),
          ...storeErrors,
        },
      },
    },
    "/state/{key}": {
      parameters: [{ name: "key", in: "path", required: true, schema: key }],
      ...entryOperations("", entryLinks("$request.path.key")),
    },
    // A concrete path wins over /state/{key}, but bulk and transaction are keys like others.
    "/state/bulk": {
      ...entryOperations("KeyNamedBulk"),
      post: {
        operationId: "readMany",
        summary: "Reads up to 100 keys at once.",
        requestBody: json({ $ref: "#/components/schemas/BulkRequest" }),
        responses: {
          200: {
            description: "One item for each key, in the order of the request.",
            content: {
              "application/json": {
                schema: {
                  type: "array",
                  items: {
                    type: "object",
                    required: ["key", "found"],
                    properties: { key, found: { type: "boolean" }, data, etag: { type: "string" } },
                  },
                },
              },
            },
          },
          ...unreadable,
          422: problem("The entries are too large for one response: ask for fewer keys."),
          ...storeErrors,
        },
      },
    },
    "/state/transaction": {
      ...entryOperations("KeyNamedTransaction"),
      post: {
        operationId: "transact",
        summary: "Applies up to 100 upserts or 50 deletes, all or none.",
        description:
          "Every key must name the same partition before its first ~, such as alice~cart and alice~orders, because a " +
          "Cosmos DB transaction cannot span partitions. The rule holds for every store, so that code written for one " +
          "of them works with all. The maximum is 100 operations, in which a delete counts as two: state-api writes the " +
          "key before it deletes it, because a Cosmos DB transaction cannot delete a missing key.",
        requestBody: json({ $ref: "#/components/schemas/TransactionRequest" }),
        responses: {
          204: { description: "All operations are applied." },
          ...unreadable,
          409: problem("Another change interfered. Nothing was changed."),
          ...storeErrors,
        },
      },
    },
    ...commonPaths,
  },
  components: {
    schemas: {
      SaveRequest: saveRequest,
      BulkRequest: bulkRequest,
      TransactionRequest: transactionRequest,
      Problem: problemSchema,
    },
  },
} as const;
