import { sidecarOrigin } from "../dapr/config.ts";
import { configOrExit, readConfig } from "../runtime/config.ts";
import { createLogger } from "../runtime/log.ts";
import { createRegistry } from "../runtime/metrics.ts";
import { type Lifecycle, serve } from "../runtime/serve.ts";
import { createApp } from "./app.ts";
import { variables } from "./config.ts";
import { createSidecar } from "./sidecar.ts";

const config = configOrExit(() => readConfig(variables, process.env));
const log = await createLogger("welcome", config.LOG_LEVEL);
const register = createRegistry();
const lifecycle: Lifecycle = { draining: false };
const sidecar = createSidecar({
  origin: sidecarOrigin(config),
  timeoutMs: config.INVOKE_TIMEOUT_MS,
  apiToken: config.DAPR_API_TOKEN,
});

/** Not a matter of the sidecar: the message and the page are there without it, and the page says what is missing. */
async function ready(): Promise<void> {
  if (lifecycle.draining) throw new Error("the service is shutting down");
}

serve({
  app: createApp({ sidecar, config, log, register, ready }),
  log,
  lifecycle,
  config,
  // The first request shall not be the one that waits for undici to load.
  listening: () => sidecar.healthy().catch((error) => log.warn(error.message)),
  close: sidecar.close,
});
