import { keySchema } from "../dapr/key.ts";
import { commonPaths, ifMatch, ifNoneMatchAny, problem, problemSchema } from "../runtime/openapi.ts";

const json = (description: string, schema: object) => ({ description, content: { "application/json": { schema } } });
const header = (name: string, description: string) => ({ name, in: "header", schema: { type: "string" }, description });
const unreached = {
  502: problem("The sidecars do not let the call through, or something else answered."),
  503: problem("A sidecar or the service is not there, or the service says so itself: try again after Retry-After."),
  504: problem("No answer within INVOKE_TIMEOUT_MS. A write may have happened all the same."),
};
const string = { type: "string" } as const;
const integer = { type: "integer" } as const;
const condition = { enum: ["up", "not ready", "no answer", "unknown"] } as const;

/** What the service speaks. The schema of the key is the one that requests are checked with. */
export const openapi = {
  openapi: "3.1.0",
  info: {
    title: "Welcome",
    version: "1.0.0",
    description: "Greets, shows which version does, and lets a browser use the other services through Dapr.",
    "x-try": ["curl $URL   # the page, in a browser"],
  },
  paths: {
    "/": {
      get: {
        operationId: "welcome",
        responses: {
          200: {
            description: "The WELCOME text; the page when Accept prefers HTML.",
            content: {
              "text/plain": { schema: string, example: "Hello from Super API on Container Apps" },
              "text/html": { schema: string },
            },
          },
        },
      },
    },
    "/api/version": {
      get: {
        operationId: "version",
        summary: "Which version and replica answers.",
        responses: {
          200: json("Revision and replica of Container Apps, pod template hash and pod on Kubernetes, else local.", {
            type: "object",
            required: ["message", "version", "replica"],
            properties: { message: string, version: string, replica: string },
          }),
        },
      },
    },
    "/api/health": {
      get: {
        operationId: "health",
        summary: "How the services and their sidecars are, as far as this one can know.",
        responses: {
          200: json("One item for each service; an answer of another service proves its sidecar too.", {
            type: "array",
            items: {
              type: "object",
              required: ["appId", "service", "sidecar"],
              properties: { appId: string, service: condition, sidecar: condition, reason: string },
            },
          }),
        },
      },
    },
    "/api/secret": {
      get: {
        operationId: "secret",
        summary: "How a secret of Key Vault has arrived, never what it says.",
        responses: {
          200: json("The file has mounted or notMounted, the variable synced, unless it is missing.", {
            type: "object",
            required: ["name", "restartNeeded"],
            properties: {
              name: string,
              mounted: {
                type: "object",
                required: ["bytes", "ageSeconds"],
                properties: {
                  bytes: integer,
                  ageSeconds: { ...integer, description: "Since the file last changed: since its rotation." },
                },
              },
              notMounted: { ...string, description: "Why there is no file.", examples: ["ENOENT"] },
              synced: { type: "object", required: ["bytes"], properties: { bytes: integer } },
              restartNeeded: {
                type: "boolean",
                description: "The file was rotated since the process started; the variable has the old value.",
              },
            },
          }),
        },
      },
    },
    "/api/groups": {
      get: {
        operationId: "groups",
        summary: "group-lister's GET /groupz?details=true.",
        parameters: [header("Cache-Control", "no-cache: ask Azure now.")],
        responses: {
          200: {
            ...json("The resource groups.", { type: "array", items: { type: "object" } }),
            headers: {
              "Sample-Data": { description: "There when the groups are samples, not Azure's.", schema: string },
            },
          },
          ...unreached,
        },
      },
    },
    "/api/state/{key}": {
      parameters: [{ name: "key", in: "path", required: true, schema: keySchema }],
      get: {
        operationId: "read",
        summary: "state-api's GET /state/{key}.",
        responses: {
          200: json("The value; its ETag is in the header.", {}),
          400: problem("The key is not allowed."),
          404: problem("There is no entry under this key."),
          ...unreached,
        },
      },
      put: {
        operationId: "write",
        summary: "state-api's PUT /state/{key}.",
        parameters: [ifMatch, ifNoneMatchAny],
        requestBody: { required: true, content: { "application/json": { schema: true } } },
        responses: {
          201: { description: "Created; answered to If-None-Match: * only." },
          204: { description: "The store has it." },
          400: problem("The key or the body is not allowed."),
          412: problem("The condition does not hold; nothing was changed."),
          413: problem("The body is too large."),
          415: problem("The body is not declared as application/json."),
          ...unreached,
        },
      },
    },
    ...commonPaths,
  },
  components: { schemas: { Problem: problemSchema } },
} as const;
