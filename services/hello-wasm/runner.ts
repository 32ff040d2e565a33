import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { Reply, WorkerData } from "./worker.ts";

interface RunnerOptions {
  /** A WASI preview 1 command. */
  readonly module: WebAssembly.Module;
  /** Threads, and so instances at work at once. */
  readonly threads: number;
  /** Longest that one run may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Runs that may wait for a thread; one more is refused. */
  readonly maxWaiting: number;
}

export interface Runner {
  /**
   * What the module prints, run once in an instance of its own that sees `env` and nothing else of the host.
   * @throws {RunError}
   */
  run(env: Readonly<Record<string, string>>): Promise<Buffer>;
  /** Instances at work now. */
  running(): number;
  close(): Promise<void>;
}

export class RunError extends Error {
  override readonly name = "RunError";
  readonly kind: "overloaded" | "late" | "failed";

  constructor(kind: RunError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Most that one instance's memory can grow to: 16 MiB in pages of 64 KiB. A larger one does not start. */
const MAX_MEMORY_PAGES = 256;
const MAX_OUTPUT_BYTES = 1_048_576;

interface Job {
  readonly env: Readonly<Record<string, string>>;
  readonly result: PromiseWithResolvers<Buffer>;
}

/** Threads, because nothing but the end of its thread stops a module that loops. */
export function createRunner({ module, threads, timeoutMs, maxWaiting }: RunnerOptions): Runner {
  setFlagsFromString(`--wasm-max-mem-pages=${MAX_MEMORY_PAGES}`);
  const idle: Worker[] = [];
  const busy = new Map<Worker, Job & { readonly timer: NodeJS.Timeout }>();
  const waiting: Job[] = [];
  let closing = false;
  for (let thread = 0; thread < threads; thread++) start();

  function start(): void {
    const workerData: WorkerData = { module, maxOutputBytes: MAX_OUTPUT_BYTES };
    // node:wasi calls itself experimental at each start; the suite pins its Node and tests the outcome.
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
      const late = () => replace(worker, new RunError("late", `the module was not done within ${timeoutMs} ms`));
      busy.set(worker, { ...job, timer: setTimeout(late, timeoutMs) });
      worker.postMessage(job.env);
    }
  }

  function settle(worker: Worker): Job | undefined {
    const job = busy.get(worker);
    busy.delete(worker);
    clearTimeout(job?.timer);
    return job;
  }

  /** A thread that is lost takes its instance with it. */
  function replace(worker: Worker, reason: RunError): void {
    settle(worker)?.result.reject(reason);
    worker.terminate();
    if (!closing) start();
  }

  return {
    run(env) {
      if (waiting.length >= maxWaiting) {
        return Promise.reject(new RunError("overloaded", `${maxWaiting} requests are waiting already`));
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
