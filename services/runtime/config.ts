import { Errors } from "typebox/schema";

/** One environment variable: JSON Schema keywords and a description. */
export interface Variable {
  readonly type: "integer" | "string";
  readonly description: string;
  readonly default: number | string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly enum?: readonly string[];
  /** True for a secret: error messages hide its value. */
  readonly writeOnly?: boolean;
}

export type Config<V extends Record<string, Variable>> = {
  readonly [Name in keyof V]: V[Name] extends { type: "integer" }
    ? number
    : V[Name] extends { enum: readonly (infer Choice)[] }
      ? Choice
      : string;
};

/** Of a token that a header carries. A Secret made from a file often ends in a line break, which no header can have. */
export const TOKEN_PATTERN = "^[!-~]*$";

/** Pattern of a UUID, without anchors. */
export const UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";

const HOST_NAME = "([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\])";

/** The settings of every service. */
export const commonVariables = {
  PORT: { type: "integer", minimum: 0, maximum: 65535, default: 8080, description: "Port the service listens on" },
  HOST: {
    type: "string",
    default: "127.0.0.1",
    description: "Address the service listens on; 0.0.0.0 in a container",
  },
  METRICS_PORT: {
    type: "integer",
    minimum: 0,
    maximum: 65535,
    default: 0,
    description: "Port that serves only /metrics; 0: PORT serves it, to every caller of the service",
  },
  ALLOWED_HOSTS: {
    type: "string",
    pattern: `^(${HOST_NAME}(,${HOST_NAME})*)?$`,
    default: "",
    description:
      "Names in the Host header to serve, separated by commas; default: 127.0.0.1, localhost and [::1] if HOST is a " +
      "loopback address, else any",
  },
  LOG_LEVEL: {
    type: "string",
    enum: ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    default: "info",
    description: "Lowest level to log; debug includes refused requests",
  },
  SHUTDOWN_TIMEOUT_MS: {
    type: "integer",
    minimum: 0,
    maximum: 600_000,
    default: 10_000,
    description: "Maximum time to finish requests after SIGTERM; keep it below the platform's grace period",
  },
} as const satisfies Record<string, Variable>;

/** The settings of the services that greet at `GET /`. */
export const welcomeVariables = {
  WELCOME: {
    type: "string",
    default: "Hello from Super API on Container Apps",
    description: "Text of `GET /`; changing it on Container Apps creates a revision",
  },
} as const satisfies Record<string, Variable>;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Reads the named variables from `env` into a frozen object. An empty variable counts as unset.
 * @throws {ConfigError} one message that lists every fault: the value, what is wrong with it, and an example
 */
export function readConfig<const V extends Record<string, Variable>>(
  variables: V,
  env: Readonly<Record<string, string | undefined>>,
): Config<V> {
  const values: Record<string, unknown> = {};
  const faults: string[] = [];
  for (const [name, variable] of Object.entries(variables)) {
    const raw = env[name];
    if (raw === undefined || raw === "") values[name] = variable.default;
    else values[name] = variable.type === "integer" && /^-?\d+$/.test(raw) ? Number(raw) : raw;
    // One variable at a time: typebox reports only the first eight faults of a value.
    const [, [error]] = Errors(variable, values[name]);
    if (!error) continue;
    const shown = variable.writeOnly ? "(hidden)" : JSON.stringify(raw);
    const wrong = variable.enum
      ? `must be one of ${variable.enum.join(", ")}`
      : variable.pattern === TOKEN_PATTERN
        ? "must have only visible ASCII characters: no space, no line break"
        : error.message;
    faults.push(`  ${name}=${shown} ${wrong}; example: ${name}=${variable.default}. ${variable.description}.`);
  }
  if (faults.length > 0) throw new ConfigError(`The configuration is not valid:\n${faults.join("\n")}`);
  // Config<V> is derived from the schemas that validated the values.
  return Object.freeze(values) as Config<V>;
}

/** Returns what `read` returns. When it throws a ConfigError, prints the message on stderr and exits with 1. */
export function configOrExit<C>(read: () => C): C {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
