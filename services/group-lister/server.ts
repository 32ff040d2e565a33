import { configOrExit } from "../runtime/config.ts";
import { createLogger } from "../runtime/log.ts";
import { createRegistry } from "../runtime/metrics.ts";
import { serve } from "../runtime/serve.ts";
import { createApp } from "./app.ts";
import { createCredential } from "./azure/credential.ts";
import { AzureError } from "./azure/error.ts";
import { createResourceManager } from "./azure/resource-manager.ts";
import { azureOf, readGroupListerConfig } from "./config.ts";
import { createGroups } from "./groups.ts";
import { groupMetrics } from "./metrics.ts";

const config = configOrExit(() => readGroupListerConfig(process.env));
const log = await createLogger("group-lister", config.LOG_LEVEL);
const register = createRegistry();
const metrics = groupMetrics(register);
const { resourceManager, authorityHost, resource, subscriptionId } = azureOf(config);

const credential = createCredential({
  resource,
  clientId: config.AZURE_CLIENT_ID,
  authorityHost,
  timeoutMs: config.AZURE_TIMEOUT_MS,
  observe: metrics.call("token"),
});
const list = createResourceManager({
  origin: resourceManager,
  subscriptionId,
  credential,
  timeoutMs: config.AZURE_TIMEOUT_MS,
  observe: metrics.call("resource-manager"),
  found: ({ id, name }) => log.info(`listing subscription "${name}" (${id}), the first one that the identity can see`),
});
const groups = createGroups({ list, config, log });
metrics.age(() => groups.held);

async function ready(): Promise<void> {
  await credential.getToken(resource);
}

serve({
  app: (ready) => createApp({ groups, config, log, register, ready, observeStale: metrics.stale }),
  ready,
  // Loads the SDK and gets a token, so that no request has to wait for them.
  warmUp: () =>
    ready().catch((error) =>
      log.warn(error instanceof AzureError ? [error.message, error.advice, error.details].join("\n") : error),
    ),
  log,
  register,
  config,
});
