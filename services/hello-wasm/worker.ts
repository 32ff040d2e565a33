// A worker thread that runs the module. Each message gets a new instance, which is garbage once its output is posted.
import { parentPort, workerData } from "node:worker_threads";
import { runCommand } from "./wasi.ts";

export interface WorkerData {
  readonly module: WebAssembly.Module;
  readonly maxOutputBytes: number;
}

export type Reply = { readonly output: Uint8Array } | { readonly error: string };

const { module, maxOutputBytes }: WorkerData = workerData;

parentPort?.on("message", (env) => {
  let reply: Reply;
  try {
    reply = { output: runCommand(module, env, maxOutputBytes) };
  } catch (error) {
    reply = { error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(reply);
});
