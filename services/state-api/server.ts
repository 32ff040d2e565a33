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

const sidecar = createDaprStore({
  origin: sidecarOrigin(config),
  storeName: config.STATESTORE_NAME,
  timeoutMs: config.STATESTORE_TIMEOUT_MS,
  apiToken: config.DAPR_API_TOKEN,
  observe: metrics.call,
});
// Without this line (store: sidecar below) everything still works, one sidecar call for each request.
const store = coalesce(sidecar, { maxPending: config.STATESTORE_MAX_PENDING, observe: metrics.batch });

serve({
  app: (ready) => createApp({ store, config, log, register, ready }),
  // The first readiness check, at start-up, loads the SDK so that no request has to wait for it.
  ready: sidecar.ready,
  close: sidecar.close,
  log,
  config,
});
