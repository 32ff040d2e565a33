import { Histogram, type Registry } from "prom-client";
import { SECONDS } from "../runtime/metrics.ts";

/** Figures of the store, beside the ones every service has. */
export function storeMetrics(register: Registry) {
  const calls = new Histogram({
    name: "statestore_call_duration_seconds",
    help: "Calls to the sidecar by operation and outcome; a coalesced call counts once",
    labelNames: ["operation", "outcome"],
    buckets: SECONDS,
    registers: [register],
  });
  const batches = new Histogram({
    name: "statestore_batch_size",
    help: "Reads or writes that left for the sidecar together",
    labelNames: ["operation"],
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers: [register],
  });
  return {
    call: (operation: string, outcome: string, seconds: number) => calls.labels(operation, outcome).observe(seconds),
    batch: (operation: string, size: number) => batches.labels(operation).observe(size),
  };
}
