import { sidecarVariables } from "../dapr/config.ts";
import { type Config, commonVariables, type Variable, welcomeVariables } from "../runtime/config.ts";

export const variables = {
  ...commonVariables,
  ...welcomeVariables,
  ...sidecarVariables,
  INVOKE_TIMEOUT_MS: {
    type: "integer",
    minimum: 50,
    maximum: 60_000,
    default: 1_900,
    description: "Longest a request waits for another service, by way of both sidecars",
  },
  SECRET_FILE: {
    type: "string",
    default: "/mnt/secret-store/demosecret",
    description: "Secret of Key Vault as a file, mounted by the Secrets Store CSI driver",
  },
  demosecret: {
    type: "string",
    default: "",
    writeOnly: true,
    description: "The same secret as a variable, from the Kubernetes Secret that the driver keeps in step",
  },
  CONTAINER_APP_REVISION: {
    type: "string",
    default: "",
    description: "Version of the service; Container Apps sets it",
  },
  CONTAINER_APP_REPLICA_NAME: {
    type: "string",
    default: "",
    description: "Which of the version's replicas this is; Container Apps sets it",
  },
  POD_TEMPLATE_HASH: {
    type: "string",
    default: "",
    description: "Version of the service on Kubernetes: the pod's label of that name, by the downward API",
  },
  HOSTNAME: {
    type: "string",
    default: "",
    description: "Name of the pod; Kubernetes sets it",
  },
} as const satisfies Record<string, Variable>;

export type WelcomeConfig = Config<typeof variables>;
