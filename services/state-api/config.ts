import { parseArgs } from "node:util";
import { bodyVariables, sidecarVariables } from "../dapr/config.ts";
import { callerVariables, refuseOpenAddress, TOKEN_REMEDY } from "../runtime/access.ts";
import {
  type Config,
  ConfigError,
  commonVariables,
  readConfig,
  type Variable,
  welcomeVariables,
} from "../runtime/config.ts";
import { field } from "../runtime/field.ts";

export const variables = {
  ...commonVariables,
  ...callerVariables,
  ...welcomeVariables,
  STATESTORE_NAME: {
    type: "string",
    pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
    default: "statestore",
    description: "Name of the Dapr state store component; the flag --statestore overrides it",
  },
  STATESTORE_TIMEOUT_MS: {
    type: "integer",
    minimum: 50,
    maximum: 60_000,
    default: 1_900,
    description: "Maximum time a request waits for the store; keep it above the sidecar's own timeout",
  },
  STATESTORE_MAX_PENDING: {
    type: "integer",
    minimum: 1,
    maximum: 100_000,
    default: 1_024,
    description: "Maximum number of requests that wait for the store; further ones get 503",
  },
  ...bodyVariables,
  ...sidecarVariables,
} as const satisfies Record<string, Variable>;

export type StateApiConfig = Config<typeof variables>;

/** @throws {ConfigError} one message that lists every fault */
export function readStateApiConfig(
  env: Readonly<Record<string, string | undefined>>,
  args: readonly string[],
): StateApiConfig {
  const config = readConfig(variables, { ...env, ...flags(args) });
  refuseOpenAddress(config, config.APP_API_TOKEN, TOKEN_REMEDY);
  return config;
}

function flags(args: readonly string[]): { STATESTORE_NAME?: string } {
  try {
    const { values } = parseArgs({ args: [...args], options: { statestore: { type: "string" } } });
    return values.statestore === undefined ? {} : { STATESTORE_NAME: values.statestore };
  } catch (error) {
    throw new ConfigError(`${field(error, "message")}. The only flag is --statestore NAME.`);
  }
}
