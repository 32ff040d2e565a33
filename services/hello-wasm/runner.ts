import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { Reply, WorkerData } from "./worker.ts";

interface RunnerOptions {
  /** A WASI preview 1 command. */
  readonly module: WebAssembly.Module;
  /** Number of threads, which is also the maximum number of instances that run at once. */
  readonly threads: number;
  /** Maximum duration of one run, in milliseconds. */
  readonly timeoutMs: number;
  /** Maximum number of runs that wait for a thread; `run` rejects further ones. */
  readonly maxWaiting: number;
}

export interface Runner {
  /**
   * Runs the module once, in a new instance, and resolves with its standard output. The instance sees `env` and nothing
   * else of the host.
   * @throws {RunError}
   */
  run(env: Readonly<Record<string, string>>): Promise<Buffer>;
  /** Number of instances that are running. */
  running(): number;
  close(): Promise<void>;
}

export class RunError extends Error {
  override readonly name = "RunError";
  readonly kind: "overloaded" | "timeout" | "failed";

  constructor(kind: RunError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Maximum memory of one instance: 256 pages of 64 KiB, so 16 MiB. A module that needs more at its start fails. */
const MAX_MEMORY_PAGES = 256;
const MAX_OUTPUT_BYTES = 1_048_576;

interface Job {
  readonly env: Readonly<Record<string, string>>;
  readonly result: PromiseWithResolvers<Buffer>;
}

/** Runs the module in worker threads: only terminating its thread stops a module that loops. */
export function createRunner({ module, threads, timeoutMs, maxWaiting }: RunnerOptions): Runner {
  setFlagsFromString(`--wasm-max-mem-pages=${MAX_MEMORY_PAGES}`);
  const idle: Worker[] = [];
  const busy = new Map<Worker, Job & { readonly timer: NodeJS.Timeout }>();
  const waiting: Job[] = [];
  let closing = false;
  for (let thread = 0; thread < threads; thread++) start();

  function start(): void {
    const workerData: WorkerData = { module, maxOutputBytes: MAX_OUTPUT_BYTES };
    // Loading node:wasi prints an ExperimentalWarning. The suite pins its version of Node and tests the result.
    const execArgv = ["--disable-warning=ExperimentalWarning"];
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData, execArgv });
    worker.on("message", (reply: Reply) => {
      const { result } = settle(worker) ?? {};
      if ("output" in reply) result?.resolve(Buffer.from(reply.output));
      else result?.reject(new RunError("failed", reply.error));
      idle.push(worker);
      assign();
    });
    worker.on("error", (error) => replace(worker, new RunError("failed", String(error))));
    idle.push(worker);
    assign();
  }

  function assign(): void {
    while (idle.length > 0 && waiting.length > 0) {
      const [worker, job] = [idle.pop(), waiting.shift()];
      if (!worker || !job) return;
      const timeOut = () =>
        replace(worker, new RunError("timeout", `the module did not finish within ${timeoutMs} ms`));
      busy.set(worker, { ...job, timer: setTimeout(timeOut, timeoutMs) });
      worker.postMessage(job.env);
    }
  }

  function settle(worker: Worker): Job | undefined {
    const job = busy.get(worker);
    busy.delete(worker);
    clearTimeout(job?.timer);
    return job;
  }

  /** Terminates the thread, and with it the instance, fails its run, and starts another thread. */
  function replace(worker: Worker, reason: RunError): void {
    settle(worker)?.result.reject(reason);
    const at = idle.indexOf(worker);
    if (at >= 0) idle.splice(at, 1);
    worker.terminate();
    if (!closing) start();
  }

  return {
    run(env) {
      if (waiting.length >= maxWaiting) {
        return Promise.reject(new RunError("overloaded", `${maxWaiting} requests are already waiting`));
      }
      const job = { env, result: Promise.withResolvers<Buffer>() };
      waiting.push(job);
      assign();
      return job.result.promise;
    },
    running: () => busy.size,
    async close() {
      closing = true;
      await Promise.all([...idle, ...busy.keys()].map((worker) => worker.terminate()));
    },
  };
}
