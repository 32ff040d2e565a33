import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { DURATION_BUCKETS } from "../runtime/metrics.ts";
import type { Snapshot } from "./groups.ts";

/** Metrics of calls to Azure and of the listing, in addition to those of every service. */
export function groupMetrics(register: Registry) {
  const calls = new Histogram({
    name: "azure_call_duration_seconds",
    help: "Duration of token searches and requests to Azure Resource Manager, by outcome",
    labelNames: ["operation", "outcome"],
    buckets: DURATION_BUCKETS,
    registers: [register],
  });
  const stale = new Counter({
    name: "groups_stale_responses_total",
    help: "Responses with a stale list of resource groups",
    registers: [register],
  });
  return {
    call: (operation: "token" | "resource-manager") => (outcome: string, seconds: number) =>
      calls.labels(operation, outcome).observe(seconds),
    stale: () => stale.inc(),
    /** Reports the age of the listing that `held` returns at the time of the scrape. */
    age(held: () => Snapshot | undefined) {
      new Gauge({
        name: "groups_age_seconds",
        help: "Age of the list of resource groups, in seconds",
        registers: [register],
        collect() {
          const snapshot = held();
          if (snapshot) this.set((Date.now() - snapshot.at) / 1000);
        },
      });
    },
  };
}
