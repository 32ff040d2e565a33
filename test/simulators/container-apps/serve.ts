// The simulator behind HTTPS, with the sign-in of the Azure stand-in: for real clients, such as az.
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { identityHeader } from "../../../stand-ins/azure/defaults.ts";
import { close, createHttpsServer, listen } from "../../../stand-ins/azure/http.ts";
import { armError } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { type Azure, startAzure } from "../../../stand-ins/azure/start.ts";
import { createTokens } from "../../../stand-ins/azure/tokens.ts";
import { createResources } from "../resource-manager/resources.ts";
import { groupName, type Simulator, subscriptionId, workspaceId } from "./simulator.ts";

export interface Served {
  readonly azure: Azure;
  /** Origin of Log Analytics. */
  readonly logsUrl: string;
  /** Environment variables of a client. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const logsAudience = "https://api.loganalytics.io";

export async function serveSimulator(simulator: Simulator): Promise<Served> {
  const keys = await loadKeys();
  const subscription = { id: subscriptionId, name: "Simulated", groups: [{ name: groupName }] };
  const resources = createResources();
  const azure = await startAzure({
    subscriptions: [subscription],
    audiences: ["https://management.azure.com", "https://management.core.windows.net", logsAudience],
    resources: {
      async handle(request) {
        const isOther = !/\/(containerApps|containerappOperation(Results|Statuses))\/./i.test(request.url.pathname);
        if (isOther) return resources.handle(request, subscription);
        return (await simulator.handle(request)) ?? new Promise(() => {}); // no response until the server closes
      },
    },
  });
  const tokens = createTokens(keys.tokenKey, azure.tenantId);
  const limits = { hostNames: ["127.0.0.1", "localhost"], maximumBodyBytes: 64 * 1024 };
  const logs = createHttpsServer({ key: keys.key, cert: keys.cert }, limits, async (request) => {
    const [, token = ""] = /^Bearer (.+)$/.exec(request.headers.authorization ?? "") ?? [];
    const audience = String(tokens.check(token)?.claims.aud ?? "").replace(/\/$/, "");
    if (audience !== logsAudience)
      return armError(401, "AuthorizationRequired", "Valid authentication was not provided");
    return simulator.handle(request);
  });
  const logsUrl = `https://127.0.0.1:${await listen(logs, "127.0.0.1", 0)}`;
  return {
    azure,
    logsUrl,
    env: {
      AZURE_SUBSCRIPTION_ID: subscriptionId,
      AZURE_RESOURCE_GROUP: groupName,
      AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
      AZURE_LOG_ANALYTICS_ENDPOINT: logsUrl,
      AZURE_LOG_ANALYTICS_WORKSPACE_ID: workspaceId,
      AZURE_TOKEN_CREDENTIALS: "ManagedIdentityCredential",
      IDENTITY_ENDPOINT: `${azure.url}/msi/token`,
      IDENTITY_HEADER: identityHeader,
      NODE_EXTRA_CA_CERTS: azure.caFile,
    },
    async close() {
      await Promise.all([azure.close(), close(logs)]);
    },
  };
}
