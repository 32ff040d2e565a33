import { Worker } from "node:worker_threads";
import type { Reply, WorkerData } from "./worker.ts";

interface RunnerOptions {
  /** From `loadModule`, whose checks the limits of an instance rely on. */
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

const MAX_OUTPUT_BYTES = 1_048_576;
/** More than the variables of any request: Node limits the head of a request to 16 KiB. */
const MAX_ENVIRONMENT_BYTES = 262_144;
/** Of a thread. A module's objects, unlike its memory, live in the heap; a thread that exceeds it ends alone. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 };

interface Job {
  readonly env: Readonly<Record<string, string>>;
  readonly result: PromiseWithResolvers<Buffer>;
}

/** Runs the module in worker threads: only terminating its thread stops a module that loops. */
export function createRunner({ module, threads, timeoutMs, maxWaiting }: RunnerOptions): Runner {
  const idle: Worker[] = [];
  const busy = new Map<Worker, Job & { readonly timer: NodeJS.Timeout }>();
  const waiting: Job[] = [];
  let closing = false;
  for (let thread = 0; thread < threads; thread++) start();

  function start(): void {
    const workerData: WorkerData = { module, maxOutputBytes: MAX_OUTPUT_BYTES };
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData, resourceLimits: RESOURCE_LIMITS });
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
      const bytes = Object.entries(env).reduce((sum, [key, value]) => sum + Buffer.byteLength(key + value) + 2, 0);
      if (bytes > MAX_ENVIRONMENT_BYTES) {
        return Promise.reject(new RunError("failed", `the environment exceeds ${MAX_ENVIRONMENT_BYTES} bytes`));
      }
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
