import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { configOrExit, readConfig } from "../runtime/config.ts";
import { createLogger } from "../runtime/log.ts";
import { createRegistry } from "../runtime/metrics.ts";
import { serve } from "../runtime/serve.ts";
import { createApp } from "./app.ts";
import { variables } from "./config.ts";
import { loadModule } from "./load-module.ts";
import { createRunner } from "./runner.ts";

const config = configOrExit(() => readConfig(variables, process.env));
const module = configOrExit(() => loadModule(readFileSync(new URL("hello.wasm", import.meta.url)), "hello.wasm"));
const log = await createLogger("hello-wasm", config.LOG_LEVEL);
const register = createRegistry();
const runner = createRunner({
  module,
  threads: availableParallelism(),
  timeoutMs: config.WASM_TIMEOUT_MS,
  maxWaiting: 1_024,
});

serve({
  app: (ready) => createApp({ runner, config, log, register, ready }),
  ready: async () => {
    await runner.run({});
  },
  close: runner.close,
  log,
  register,
  config,
});
