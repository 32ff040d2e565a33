// A worker thread that runs the module. Each message gets a new instance, which is garbage once its output is posted.
import { openSync } from "node:fs";
import { WASI } from "node:wasi";
import { parentPort, workerData } from "node:worker_threads";

export interface WorkerData {
  readonly module: WebAssembly.Module;
  readonly maxOutputBytes: number;
}

export type Reply = { readonly output: Uint8Array } | { readonly error: string };

const { module, maxOutputBytes }: WorkerData = workerData;
const nothing = openSync("/dev/null", "r+"); // keeps the host's own streams from the module
/** WASI error numbers: bad file descriptor, file too large. */
const BADF = 8;
const FBIG = 22;

function run(env: Readonly<Record<string, string>>): Uint8Array {
  const wasi = new WASI({ version: "preview1", env, stdin: nothing, stdout: nothing, stderr: nothing });
  const imports = wasi.getImportObject() as Record<"wasi_snapshot_preview1", Record<string, unknown>>;
  let output = Buffer.alloc(0);
  let memory: WebAssembly.Instance["exports"]["memory"];
  // Node's WASI writes to file descriptors only; this replacement collects standard output in memory.
  imports.wasi_snapshot_preview1.fd_write = (fd: number, pieces: number, count: number, written: number) => {
    if (fd !== 1 && fd !== 2) return BADF;
    const view = new DataView(memory.buffer);
    let length = 0;
    for (let at = pieces; at < pieces + count * 8; at += 8) {
      const piece = Buffer.from(memory.buffer, view.getUint32(at, true), view.getUint32(at + 4, true));
      length += piece.length;
      if (fd === 2) continue;
      if (output.length + piece.length > maxOutputBytes) return FBIG;
      output = Buffer.concat([output, piece]);
    }
    view.setUint32(written, length, true);
    return 0;
  };
  const instance = new WebAssembly.Instance(module, imports);
  memory = instance.exports.memory;
  const status = wasi.start(instance);
  if (status !== 0) throw new Error(`the module exited with status ${status}`);
  return output;
}

parentPort?.on("message", (env) => {
  let reply: Reply;
  try {
    reply = { output: run(env) };
  } catch (error) {
    reply = { error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(reply);
});
