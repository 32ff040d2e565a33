import { type Config, TOKEN_PATTERN, type Variable } from "../runtime/config.ts";

/** Where a service finds its sidecar. */
export const sidecarVariables = {
  DAPR_HTTP_PORT: {
    type: "integer",
    minimum: 1,
    maximum: 65535,
    default: 3500,
    description: "Port of the Dapr sidecar on this host; Dapr sets it",
  },
  DAPR_HTTP_ENDPOINT: {
    type: "string",
    pattern: "^(https?://[^/?#]+)?$",
    default: "",
    description: "Origin of a Dapr sidecar on another host; overrides DAPR_HTTP_PORT",
  },
  DAPR_API_TOKEN: {
    type: "string",
    pattern: TOKEN_PATTERN,
    default: "",
    writeOnly: true,
    description: "API token that the sidecar requires, if it does; npm start sets it",
  },
} as const satisfies Record<string, Variable>;

/** For the services that write to the state store; a request through both needs the same value in both. */
export const bodyVariables = {
  MAX_BODY_BYTES: {
    type: "integer",
    minimum: 1,
    maximum: 4_194_304,
    default: 1_048_576,
    description: "Maximum size of a request body; the sidecar accepts 4 MiB, a Cosmos DB item 2 MB",
  },
} as const satisfies Record<string, Variable>;

/** Origin of the sidecar's HTTP API, such as `http://127.0.0.1:3500`. */
export function sidecarOrigin(config: Config<typeof sidecarVariables>): string {
  return config.DAPR_HTTP_ENDPOINT || `http://127.0.0.1:${config.DAPR_HTTP_PORT}`;
}
