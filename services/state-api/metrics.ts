import { Histogram, type Registry } from "prom-client";
import { DURATION_BUCKETS } from "../runtime/metrics.ts";

/** Metrics of calls to the store, in addition to those of every service. */
export function storeMetrics(register: Registry) {
  const calls = new Histogram({
    name: "statestore_call_duration_seconds",
    help: "Calls to the sidecar by operation and outcome; a batch counts once",
    labelNames: ["operation", "outcome"],
    buckets: DURATION_BUCKETS,
    registers: [register],
  });
  const batches = new Histogram({
    name: "statestore_batch_size",
    help: "Reads or writes in one call to the sidecar",
    labelNames: ["operation"],
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers: [register],
  });
  return {
    call: (operation: string, outcome: string, seconds: number) => calls.labels(operation, outcome).observe(seconds),
    batch: (operation: string, size: number) => batches.labels(operation).observe(size),
  };
}
