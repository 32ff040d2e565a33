import { sidecarOrigin } from "../dapr/config.ts";
import { configOrExit } from "../runtime/config.ts";
import { createLogger } from "../runtime/log.ts";
import { createRegistry } from "../runtime/metrics.ts";
import { serve } from "../runtime/serve.ts";
import { createApp } from "./app.ts";
import { readWelcomeConfig } from "./config.ts";
import { createSidecar } from "./sidecar.ts";
import { createSignIn } from "./sign-in.ts";

const config = configOrExit(() => readWelcomeConfig(process.env));
const log = await createLogger("welcome", config.LOG_LEVEL);
const register = createRegistry();
const sidecar = createSidecar({
  origin: sidecarOrigin(config),
  timeoutMs: config.INVOKE_TIMEOUT_MS,
  apiToken: config.DAPR_API_TOKEN,
});
const signIn = createSignIn(config, log);

serve({
  app: (ready) => createApp({ sidecar, signIn, config, log, register, ready }),
  // Ready without a sidecar: welcome still serves the message and the page, which shows that the sidecar is missing.
  ready: async () => {},
  // Loads undici, so that no request has to wait for it. The sidecar is not ready yet: it waits for welcome.
  // The same for jose and Entra ID's keys.
  warmUp: async () => {
    await Promise.all([sidecar.checkHealth(), signIn?.warmUp()]);
  },
  close: sidecar.close,
  log,
  register,
  config,
});
