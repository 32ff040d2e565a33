// The processes of the services that revisions run. A pool keeps them for the next simulator, because a start takes
// half a second.
import { type Process, startService } from "../../support/processes.ts";

export interface ProcessPool {
  /** A process with these variables; one that is kept, if there is one. */
  take(service: string, env: Readonly<Record<string, string>>): Promise<Process>;
  /** Lets a process go, unless the pool keeps it: it drains and ends, or with SIGKILL it ends at once. */
  give(process: Process, signal?: NodeJS.Signals): Promise<void>;
  /** Ends all processes. */
  close(): Promise<void>;
}

export function createPool({ keeps }: { readonly keeps: boolean }): ProcessPool {
  const kept = new Map<string, Promise<Process>>();
  const running = new Set<Process>();
  return {
    take(service, env) {
      const key = JSON.stringify([service, env]);
      const known = keeps ? kept.get(key) : undefined;
      if (known) return known;
      const started = startService(service, { LOG_LEVEL: "silent", ...env }).then((process) => {
        running.add(process);
        return process;
      });
      kept.set(key, started);
      return started;
    },
    async give(process, signal) {
      if (keeps) return;
      running.delete(process);
      await process.end(signal);
    },
    async close() {
      await Promise.allSettled(kept.values());
      await Promise.all([...running].map((process) => process.end("SIGKILL")));
    },
  };
}
