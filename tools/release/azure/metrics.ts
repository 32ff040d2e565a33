// The metric Requests of a container app, by revision and class of status code.
// https://learn.microsoft.com/azure/container-apps/metrics
import { field, listIn } from "../../../services/runtime/field.ts";
import type { Counts } from "../core/judge.ts";
import type { Window } from "../core/windows.ts";
import type { RequestCounts } from "./azure.ts";

const MINUTE = 60_000;

/** The whole minutes inside a window; undefined: none. */
export function wholeMinutes(from: number, to: number): Window | undefined {
  const window = { from: Math.ceil(from / MINUTE) * MINUTE, to: Math.floor(to / MINUTE) * MINUTE };
  return window.from < window.to ? window : undefined;
}

/** @param app its resource id */
export function metricsPath(app: string, { from, to }: Window): string {
  const query = new URLSearchParams({
    "api-version": "2023-10-01",
    metricnames: "Requests",
    aggregation: "Total",
    interval: "PT1M",
    timespan: `${new Date(from).toISOString()}/${new Date(to).toISOString()}`,
    $filter: "revisionName eq '*' and statusCodeCategory eq '*'",
    // Azure returns 10 series unless asked for more, and two revisions can have as many.
    top: "1000",
  });
  return `${app}/providers/Microsoft.Insights/metrics?${query}`;
}

/** Adds up the minutes of the window. Azure rounds a window to whole minutes and can return one more. */
export function toCounts(content: unknown, { from, to }: Window): RequestCounts {
  const counts = new Map<string, Counts>();
  for (const metric of listIn(content, "value")) {
    for (const series of listIn(metric, "timeseries")) {
      const dimensions = new Map(
        listIn(series, "metadatavalues").map((entry) => [
          String(field(field(entry, "name"), "value")).toLowerCase(),
          String(field(entry, "value")),
        ]),
      );
      const revision = dimensions.get("revisionname");
      if (revision === undefined) continue;
      const total = listIn(series, "data").reduce<number>((sum, point) => {
        const [at, value] = [Date.parse(String(field(point, "timeStamp"))), field(point, "total")];
        return at >= from && at < to && typeof value === "number" ? sum + value : sum;
      }, 0);
      const before = counts.get(revision) ?? { bad: 0, total: 0 };
      const bad = dimensions.get("statuscodecategory")?.startsWith("5") ? total : 0;
      counts.set(revision, { bad: before.bad + bad, total: before.total + total });
    }
  }
  return counts;
}
