import { callerVariables, refuseOpenAddress, TOKEN_REMEDY } from "../runtime/access.ts";
import { type Config, commonVariables, readConfig, UUID, type Variable } from "../runtime/config.ts";

const uuid = `^(${UUID})?$`;
const httpsOrigin = "^(https://[^/?#]+/?)?$";

export const variables = {
  ...commonVariables,
  ...callerVariables,
  AZURE_SUBSCRIPTION_ID: {
    type: "string",
    pattern: uuid,
    default: "",
    description: "Subscription whose resource groups are listed; default: the first one that the identity can see",
  },
  SUBSCRIPTION_ID: {
    type: "string",
    pattern: uuid,
    default: "",
    description: "Old name of AZURE_SUBSCRIPTION_ID, which takes precedence",
  },
  AZURE_CLIENT_ID: {
    type: "string",
    default: "",
    description: "Client id of the user-assigned identity or application to sign in as",
  },
  AZURE_ENVIRONMENT: {
    type: "string",
    enum: ["AzurePublicCloud", "AzureUSGovernmentCloud", "AzureChinaCloud"],
    default: "AzurePublicCloud",
    description: "Azure cloud; sets the origins of Azure Resource Manager and Entra ID",
  },
  AZURE_RESOURCE_MANAGER_ENDPOINT: {
    type: "string",
    pattern: httpsOrigin,
    default: "",
    description: "Origin of Azure Resource Manager if it differs from the cloud's, for example on Azure Stack Hub",
  },
  AZURE_AUTHORITY_HOST: {
    type: "string",
    pattern: httpsOrigin,
    default: "",
    description: "Origin of Entra ID if it differs from the cloud's; the workload identity webhook sets it",
  },
  AZURE_AD_RESOURCE: {
    type: "string",
    default: "",
    description: "Resource that tokens are requested for; default: the cloud's Azure Resource Manager",
  },
  AZURE_TIMEOUT_MS: {
    type: "integer",
    minimum: 50,
    maximum: 60_000,
    default: 1_500,
    description: "Timeout for a token and for each request to Azure Resource Manager",
  },
  GROUPS_MAX_AGE_MS: {
    type: "integer",
    minimum: 0,
    maximum: 30_000,
    default: 30_000,
    description: "How long a listing is fresh; after that, the next request queries Azure",
  },
  GROUPS_MAX_STALE_MS: {
    type: "integer",
    minimum: 0,
    maximum: 86_400_000,
    default: 300_000,
    description: "How much longer a listing is returned if Azure fails",
  },
} as const satisfies Record<string, Variable>;

type GroupListerConfig = Config<typeof variables>;

/** @throws {ConfigError} with one message that lists every fault */
export function readGroupListerConfig(env: Readonly<Record<string, string | undefined>>): GroupListerConfig {
  const config = readConfig(variables, env);
  refuseOpenAddress(config, config.APP_API_TOKEN, TOKEN_REMEDY);
  return config;
}

/** https://learn.microsoft.com/azure/developer/identity/national-clouds */
const clouds = {
  AzurePublicCloud: ["https://management.azure.com", "https://login.microsoftonline.com"],
  AzureUSGovernmentCloud: ["https://management.usgovcloudapi.net", "https://login.microsoftonline.us"],
  AzureChinaCloud: ["https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"],
} as const;

/** Origins, token resource and subscription ("": find one) from the settings, with the cloud's own as defaults. */
export function azureOf(config: GroupListerConfig) {
  const [resourceManager, authority] = clouds[config.AZURE_ENVIRONMENT];
  return {
    resourceManager: new URL(config.AZURE_RESOURCE_MANAGER_ENDPOINT || resourceManager).origin,
    authorityHost: config.AZURE_AUTHORITY_HOST || authority,
    resource: config.AZURE_AD_RESOURCE || resourceManager,
    subscriptionId: config.AZURE_SUBSCRIPTION_ID || config.SUBSCRIPTION_ID,
  };
}
