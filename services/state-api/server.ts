import { sidecarOrigin } from "../dapr/config.ts";
import { configOrExit } from "../runtime/config.ts";
import { createLogger } from "../runtime/log.ts";
import { createRegistry } from "../runtime/metrics.ts";
import { type Lifecycle, serve } from "../runtime/serve.ts";
import { createApp } from "./app.ts";
import { coalesce } from "./batching/coalesce.ts";
import { readStateApiConfig } from "./config.ts";
import { createDaprStore } from "./dapr-store.ts";
import { storeMetrics } from "./metrics.ts";

const config = configOrExit(() => readStateApiConfig(process.env, process.argv.slice(2)));
const log = await createLogger("state-api", config.LOG_LEVEL);
const register = createRegistry();
const metrics = storeMetrics(register);
const lifecycle: Lifecycle = { draining: false };

const sidecar = createDaprStore({
  origin: sidecarOrigin(config),
  storeName: config.STATESTORE_NAME,
  timeoutMs: config.STATESTORE_TIMEOUT_MS,
  apiToken: config.DAPR_API_TOKEN,
  observe: metrics.call,
});
// Without this line (store: sidecar below) everything still works, one sidecar call for each request.
const store = coalesce(sidecar, { maxPending: config.STATESTORE_MAX_PENDING, observe: metrics.batch });

async function ready(): Promise<void> {
  if (lifecycle.draining) throw new Error("the service is shutting down");
  await sidecar.ready();
}

serve({
  app: createApp({ store, config, log, register, ready }),
  log,
  lifecycle,
  config,
  // The first request shall not be the one that waits for the SDK to load.
  listening: () => ready().catch((error) => log.warn(error.message)),
  close: sidecar.close,
});
