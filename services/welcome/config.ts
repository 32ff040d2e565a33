import { bodyVariables, sidecarVariables } from "../dapr/config.ts";
import { directCallVariables, refuseOpenAddress } from "../runtime/access.ts";
import {
  type Config,
  ConfigError,
  commonVariables,
  readConfig,
  UUID,
  type Variable,
  welcomeVariables,
} from "../runtime/config.ts";

const uuid = `^(${UUID})?$`;
const WHOLE_UUID = new RegExp(`^${UUID}$`);

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
  SIGN_IN_CLIENT_ID: {
    type: "string",
    pattern: uuid,
    default: "",
    description: "Client id of the application in Entra ID that callers sign in to; without it, nobody has to sign in",
  },
  SIGN_IN_TENANT_ID: {
    type: "string",
    pattern: uuid,
    default: "",
    description: "Tenant whose users may sign in; set it together with SIGN_IN_CLIENT_ID",
  },
  SIGN_IN_AUTHORITY: {
    type: "string",
    pattern: "^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?$",
    default: "https://login.microsoftonline.com",
    description: "Origin of Entra ID, for sign-in; another one in a national cloud",
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

/** @throws {ConfigError} as `readConfig`; when only one of the ids for sign-in is set; as `refuseOpenAddress` */
export function readWelcomeConfig(env: Readonly<Record<string, string | undefined>>): WelcomeConfig {
  const config = readConfig(variables, env);
  const { SIGN_IN_CLIENT_ID, SIGN_IN_TENANT_ID } = config;
  if ((SIGN_IN_CLIENT_ID === "") !== (SIGN_IN_TENANT_ID === "")) {
    const missing = SIGN_IN_CLIENT_ID === "" ? "SIGN_IN_CLIENT_ID" : "SIGN_IN_TENANT_ID";
    throw new ConfigError(
      `The configuration is not valid:\n  ${missing} is missing. Sign-in needs SIGN_IN_CLIENT_ID and SIGN_IN_TENANT_ID: ` +
        "set both, or neither for a service without sign-in.",
    );
  }
  refuseOpenAddress(config, SIGN_IN_CLIENT_ID, "SIGN_IN_CLIENT_ID and SIGN_IN_TENANT_ID so that callers sign in");
  return config;
}

export function isUuid(value: unknown): value is string {
  return typeof value === "string" && WHOLE_UUID.test(value);
}
