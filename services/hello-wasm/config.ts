import { commonVariables, type Variable } from "../runtime/config.ts";

export const variables = {
  ...commonVariables,
  WASM_TIMEOUT_MS: {
    type: "integer",
    minimum: 10,
    maximum: 60_000,
    default: 1_000,
    description: "Maximum time the module may run for one request before it is stopped",
  },
} as const satisfies Record<string, Variable>;
