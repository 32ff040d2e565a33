import { bodyVariables, sidecarVariables } from "../dapr/config.ts";
import { directCallVariables, refuseOpenAddress } from "../runtime/access.ts";
import { type Config, commonVariables, readConfig, type Variable, welcomeVariables } from "../runtime/config.ts";

export const variables = {
  ...commonVariables,
  ...directCallVariables,
  ...welcomeVariables,
  ...bodyVariables,
  ...sidecarVariables,
  INVOKE_TIMEOUT_MS: {
    type: "integer",
    minimum: 50,
    maximum: 60_000,
    default: 1_900,
    description: "Maximum time to wait for another service's response through both sidecars",
  },
  SECRET_FILE: {
    type: "string",
    default: "/mnt/secret-store/demosecret",
    description: "File with a Key Vault secret, mounted by the Secrets Store CSI driver or by Container Apps",
  },
  demosecret: {
    type: "string",
    default: "",
    writeOnly: true,
    description: "The same secret as an environment variable, from the Kubernetes Secret that the driver syncs",
  },
  CONTAINER_APP_REVISION: {
    type: "string",
    default: "",
    description: "Version of the service; Container Apps sets it",
  },
  CONTAINER_APP_REPLICA_NAME: {
    type: "string",
    default: "",
    description: "Name of the replica; Container Apps sets it",
  },
  POD_TEMPLATE_HASH: {
    type: "string",
    default: "",
    description: "Version of the service on Kubernetes: the pod's template hash, from the downward API",
  },
  HOSTNAME: {
    type: "string",
    default: "",
    description: "Name of the pod; Kubernetes sets it",
  },
} as const satisfies Record<string, Variable>;

export type WelcomeConfig = Config<typeof variables>;

/** @throws {ConfigError} with one message that lists every fault */
export function readWelcomeConfig(env: Readonly<Record<string, string | undefined>>): WelcomeConfig {
  const config = readConfig(variables, env);
  refuseOpenAddress(config, env.SIGN_IN_CLIENT_ID ?? "", "SIGN_IN_CLIENT_ID so that callers sign in");
  return config;
}
