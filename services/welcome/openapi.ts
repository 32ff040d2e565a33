import { keySchema } from "../dapr/key.ts";
import { commonPaths, ifMatch, ifNoneMatchAny, problem, problemSchema } from "../runtime/openapi.ts";
import type { SignInSettings } from "./api.ts";
import { PREFIX_LENGTH, PUBLIC_API } from "./sign-in.ts";

const json = (description: string, schema: object) => ({ description, content: { "application/json": { schema } } });
/** A header that welcome passes on. */
export const headerSchema = { type: "string", maxLength: 1024, pattern: "^[\\t -~]*$" } as const;
const invocationProblems = {
  502: problem("The sidecars denied the call, or the response is not from the other service."),
  503: problem("A sidecar or the service is unreachable or not ready. Retry after `Retry-After` seconds."),
  504: problem("No response within INVOKE_TIMEOUT_MS, or 950 ms for a write, which may still have succeeded."),
};
const string = { type: "string" } as const;
const integer = { type: "integer" } as const;
const healthStatus = { enum: ["up", "not ready", "no response", "unknown"] } as const;

const links = { read: { operationId: "read", parameters: { key: "$request.path.key" } } };

/** The OpenAPI document. `keyOf` validates requests with the same schema of a key. */
export const openapi = {
  openapi: "3.1.0",
  info: {
    title: "Welcome",
    version: "1.0.0",
    description: "Returns a greeting and its version, and lets a browser use the other services through Dapr.",
    "x-try": ["curl $URL/api/state/greeting   # through both sidecars"],
  },
  paths: {
    "/": {
      get: {
        operationId: "welcome",
        responses: {
          200: {
            description: "The WELCOME text, or the page when Accept prefers HTML.",
            content: {
              "text/plain": { schema: string, example: "Hello from Super API on Container Apps" },
              "text/html": { schema: string },
            },
          },
        },
      },
    },
    "/api/sign-in": {
      get: {
        operationId: "signIn",
        summary: "Tells whether callers must sign in, and how.",
        responses: {
          200: json("The application in Entra ID and the scope to request a token for, unless `required` is false.", {
            type: "object",
            required: ["required"],
            properties: { required: { type: "boolean" }, clientId: string, authority: string, scope: string },
          }),
        },
      },
    },
    "/api/version": {
      get: {
        operationId: "version",
        summary: "Returns the version and replica of this service.",
        responses: {
          200: json(
            "Revision and replica on Container Apps, pod template hash and pod on Kubernetes, `local` elsewhere.",
            {
              type: "object",
              required: ["message", "version", "replica"],
              properties: { message: string, version: string, replica: string },
            },
          ),
        },
      },
    },
    "/api/health": {
      get: {
        operationId: "health",
        summary: "Checks the services and their sidecars.",
        responses: {
          200: json("One item for each service. A response from another service proves that its sidecar is up.", {
            type: "array",
            items: {
              type: "object",
              required: ["appId", "service", "sidecar"],
              properties: { appId: string, service: healthStatus, sidecar: healthStatus, reason: string },
            },
          }),
        },
      },
    },
    "/api/secret": {
      get: {
        operationId: "secret",
        summary: "Reports in which form a Key Vault secret arrived, without its value.",
        responses: {
          200: json("`mounted` or `notMounted` describes the file, `synced` the environment variable if it is set.", {
            type: "object",
            required: ["name", "restartNeeded"],
            properties: {
              name: string,
              mounted: {
                type: "object",
                required: ["bytes", "ageSeconds"],
                properties: {
                  bytes: integer,
                  ageSeconds: {
                    ...integer,
                    description: "Time since the last change of the file, which is its rotation.",
                  },
                },
              },
              notMounted: {
                ...string,
                description: "System error code: why the file cannot be read.",
                examples: ["ENOENT"],
              },
              synced: { type: "object", required: ["bytes"], properties: { bytes: integer } },
              restartNeeded: {
                type: "boolean",
                description:
                  "True when the secret was rotated after the process started: the variable has the old value.",
              },
            },
          }),
        },
      },
    },
    "/api/groups": {
      get: {
        operationId: "groups",
        summary: "Calls group-lister's GET /groupz?details=true.",
        parameters: [
          {
            name: "Cache-Control",
            in: "header",
            schema: headerSchema,
            description: "`no-cache` bypasses the cache of group-lister.",
          },
        ],
        responses: {
          200: {
            ...json("The resource groups.", { type: "array", items: { type: "object" } }),
            headers: {
              "Sample-Data": {
                description: "Present when the groups are sample data of the stand-in, not Azure's.",
                schema: string,
              },
            },
          },
          400: problem("Cache-Control is malformed."),
          ...invocationProblems,
        },
      },
    },
    "/api/state/{key}": {
      parameters: [{ name: "key", in: "path", required: true, schema: keySchema }],
      get: {
        operationId: "read",
        summary: "Calls state-api's GET /state/{key}.",
        responses: {
          200: {
            ...json("The value.", {}),
            headers: { ETag: { description: "Changes with every write.", required: true, schema: string } },
          },
          400: problem("The key is not allowed."),
          404: problem("The key is missing."),
          ...invocationProblems,
        },
      },
      put: {
        operationId: "write",
        summary: "Calls state-api's PUT /state/{key}.",
        parameters: [ifMatch, ifNoneMatchAny],
        requestBody: { required: true, content: { "application/json": { schema: true } } },
        responses: {
          201: { description: "Created. Only a request with `If-None-Match: *` returns this status.", links },
          204: { description: "Stored.", links },
          400: problem("The key, a condition or the body is not allowed."),
          412: problem("The condition failed. Nothing was changed."),
          413: problem("The body is larger than MAX_BODY_BYTES."),
          415: problem("The Content-Type is not application/json."),
          ...invocationProblems,
        },
      },
    },
    ...commonPaths,
  },
  components: { schemas: { Problem: problemSchema } },
} as const;

const signInProblems = {
  401: problem("There is no valid access token. `WWW-Authenticate` tells which scope to request a token for."),
  403: problem("The token belongs to an application instead of a user, or lacks the scope."),
  503: problem("Entra ID is unreachable, so the token cannot be checked. Retry after `Retry-After` seconds."),
};

/** The document with the sign-in that every path below /api requires, except the public ones. */
export function openapiWithSignIn({ authority, scope }: Extract<SignInSettings, { required: true }>) {
  const key = {
    ...keySchema,
    maxLength: keySchema.maxLength - PREFIX_LENGTH,
    description: "Letters, digits and . _ ~ : @ = + , - but not . or .. alone. Every user has keys of their own.",
  };
  const protect = (operation: object & { responses: object }) => ({
    ...operation,
    security: [{ entraId: [scope] }],
    responses: { ...signInProblems, ...operation.responses },
  });
  const paths = Object.entries(openapi.paths).map(([path, item]) => {
    if (!path.startsWith("/api/") || PUBLIC_API.has(path)) return [path, item];
    const { parameters, ...operations } = { parameters: [], ...item };
    return [
      path,
      {
        parameters: parameters.map((parameter) => ({ ...parameter, schema: key })), // the only one is a key
        ...Object.fromEntries(Object.entries(operations).map(([method, operation]) => [method, protect(operation)])),
      },
    ];
  });
  const endpoint = (name: string) => `${authority}/oauth2/v2.0/${name}`;
  const authorizationCode = {
    authorizationUrl: endpoint("authorize"),
    tokenUrl: endpoint("token"),
    scopes: { [scope]: "Use welcome as the signed-in user." },
  };
  return {
    ...openapi,
    paths: Object.fromEntries(paths),
    components: {
      ...openapi.components,
      securitySchemes: { entraId: { type: "oauth2", flows: { authorizationCode } } },
    },
  };
}
