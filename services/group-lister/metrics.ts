import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { SECONDS } from "../runtime/metrics.ts";
import type { Snapshot } from "./groups.ts";

/** Figures of Azure and of the listing, beside the ones every service has. */
export function groupMetrics(register: Registry) {
  const calls = new Histogram({
    name: "azure_call_duration_seconds",
    help: "Searches for a token and requests to Azure Resource Manager, by outcome",
    labelNames: ["operation", "outcome"],
    buckets: SECONDS,
    registers: [register],
  });
  const stale = new Counter({
    name: "groups_stale_answers_total",
    help: "Answers with a listing that should have been renewed by then",
    registers: [register],
  });
  return {
    call: (operation: "token" | "resource-manager") => (outcome: string, seconds: number) =>
      calls.labels(operation, outcome).observe(seconds),
    stale: () => stale.inc(),
    /** Tells the age of what `held` gives at the time of the scrape. */
    age(held: () => Snapshot | undefined) {
      new Gauge({
        name: "groups_age_seconds",
        help: "Seconds since Azure was asked for the listing that is answered with",
        registers: [register],
        collect() {
          const snapshot = held();
          if (snapshot) this.set((Date.now() - snapshot.at) / 1000);
        },
      });
    },
  };
}
