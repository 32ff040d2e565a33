import { sidecarOrigin } from "../dapr/config.ts";
import { configOrExit } from "../runtime/config.ts";
import { createLogger } from "../runtime/log.ts";
import { createRegistry } from "../runtime/metrics.ts";
import { serve } from "../runtime/serve.ts";
import { createApp } from "./app.ts";
import { coalesce } from "./batching/coalesce.ts";
import { readStateApiConfig } from "./config.ts";
import { createDaprStore } from "./dapr-store.ts";
import { storeMetrics } from "./metrics.ts";

const config = configOrExit(() => readStateApiConfig(process.env, process.argv.slice(2)));
const log = await createLogger("state-api", config.LOG_LEVEL);
const register = createRegistry();
const metrics = storeMetrics(register);

const daprStore = createDaprStore({
  origin: sidecarOrigin(config),
  storeName: config.STATESTORE_NAME,
  requestTimeoutMs: config.STATESTORE_TIMEOUT_MS,
  apiToken: config.DAPR_API_TOKEN,
  observe: metrics.call,
});
// Optional: createApp works with daprStore alone, which makes a sidecar call for each request.
const store = coalesce(daprStore, { maxPending: config.STATESTORE_MAX_PENDING, observe: metrics.batch });

serve({
  app: (ready) => createApp({ store, config, log, register, ready }),
  // Also runs once at start-up and loads the SDK, so that no request has to wait for that.
  ready: daprStore.ready,
  close: daprStore.close,
  log,
  register,
  config,
});
