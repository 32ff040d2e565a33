import { Compile } from "typebox/schema";

/** One environment variable: JSON Schema keywords plus what a person needs to set it. */
export interface Variable {
  readonly type: "integer" | "string";
  readonly description: string;
  readonly default: number | string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly enum?: readonly string[];
  /** A secret: its value is never printed. */
  readonly writeOnly?: boolean;
}

export type Config<V extends Record<string, Variable>> = {
  readonly [Name in keyof V]: V[Name] extends { type: "integer" }
    ? number
    : V[Name] extends { enum: readonly (infer Choice)[] }
      ? Choice
      : string;
};

/** What every service of the suite reads from its environment. */
export const commonVariables = {
  PORT: { type: "integer", minimum: 0, maximum: 65535, default: 8080, description: "Port the service listens on" },
  HOST: {
    type: "string",
    default: "127.0.0.1",
    description: "Address the service listens on; 0.0.0.0 in a container",
  },
  LOG_LEVEL: {
    type: "string",
    enum: ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    default: "info",
    description: "Least severe level that is logged; debug logs every request",
  },
  SHUTDOWN_TIMEOUT_MS: {
    type: "integer",
    minimum: 0,
    maximum: 600_000,
    default: 10_000,
    description: "How long SIGTERM waits for requests in flight; keep it below the platform's grace period",
  },
} as const satisfies Record<string, Variable>;

/** What the services that greet say. */
export const welcomeVariables = {
  WELCOME: {
    type: "string",
    default: "Hello from Super API on Container Apps",
    description: "What `GET /` answers; on Container Apps a change of it makes a new revision",
  },
} as const satisfies Record<string, Variable>;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Reads the named variables from `env` into a frozen object. An empty variable counts as unset.
 * @throws {ConfigError} one message that lists every fault, with the value, what is wrong with it and an example
 */
export function readConfig<const V extends Record<string, Variable>>(
  variables: V,
  env: Readonly<Record<string, string | undefined>>,
): Config<V> {
  const values: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries(variables)) {
    const raw = env[name];
    if (raw === undefined || raw === "") values[name] = variable.default;
    else values[name] = variable.type === "integer" && /^-?\d+$/.test(raw) ? Number(raw) : raw;
  }
  const [usable, errors] = Compile({ type: "object", properties: variables as object }).Errors(values);
  if (!usable) {
    const faults = errors.map((error) => {
      const name = error.instancePath.slice(1);
      const variable = variables[name];
      const shown = variable?.writeOnly ? "(hidden)" : JSON.stringify(env[name]);
      const wrong = variable?.enum ? `must be one of ${variable.enum.join(", ")}` : error.message;
      return `  ${name}=${shown} ${wrong}; example: ${name}=${variable?.default}. ${variable?.description}.`;
    });
    throw new ConfigError(`The configuration is not usable:\n${faults.join("\n")}`);
  }
  // Checked above against the very schema that Config<V> is derived from.
  return Object.freeze(values) as Config<V>;
}

/** What `read` reads; when that is not usable, its message on stderr is the end of the process. */
export function configOrExit<C>(read: () => C): C {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
