import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { configOrExit, readConfig } from "../runtime/config.ts";
import { createLogger } from "../runtime/log.ts";
import { createRegistry } from "../runtime/metrics.ts";
import { type Lifecycle, serve } from "../runtime/serve.ts";
import { createApp } from "./app.ts";
import { variables } from "./config.ts";
import { createRunner } from "./runner.ts";

const config = configOrExit(() => readConfig(variables, process.env));
const log = await createLogger("hello-wasm", config.LOG_LEVEL);
const register = createRegistry();
const lifecycle: Lifecycle = { draining: false };
const runner = createRunner({
  module: new WebAssembly.Module(readFileSync(new URL("hello.wasm", import.meta.url))),
  threads: availableParallelism(),
  timeoutMs: config.WASM_TIMEOUT_MS,
  maxWaiting: 1_024,
});

async function ready(): Promise<void> {
  if (lifecycle.draining) throw new Error("the service is shutting down");
  await runner.run({});
}

serve({
  app: createApp({ runner, log, register, ready }),
  log,
  lifecycle,
  config,
  listening: () => ready().catch((error) => log.warn(error.message)),
  close: runner.close,
});
