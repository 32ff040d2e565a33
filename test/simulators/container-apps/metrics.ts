// Azure Monitor's metric Requests: by minute, minutes late, with zeros for what is not counted yet.
// https://learn.microsoft.com/rest/api/monitor/metrics/list
import { ArmFault } from "../resource-manager/faults.ts";
import type { App } from "./app.ts";
import { seedOf } from "./random.ts";
import { minute, type Requests, type Row } from "./requests.ts";

/** Names of the dimensions in the filter, and how a response writes them. */
const dimensions = ["revisionName", "statusCodeCategory", "statusCode"] as const;
type Dimension = (typeof dimensions)[number];

export interface MetricLag {
  /** Seconds after its end until a minute is counted in part. */
  readonly first: number;
  /** Seconds after its end until a minute is counted wholly. */
  readonly whole: number;
}

export const usualLag: MetricLag = { first: 150, whole: 240 };

/** @throws ArmFault 400 */
export function queryMetrics(
  query: URLSearchParams,
  app: App,
  requests: Requests,
  { now, lag, isCounted }: { readonly now: number; readonly lag: MetricLag; readonly isCounted: (row: Row) => boolean },
) {
  const [from, to] = readTimespan(query.get("timespan"), now);
  const wanted = readFilter(query.get("$filter"));
  const names = query.get("metricnames") ?? "Requests";
  if (names.toLowerCase() !== "requests") throw badRequest(`Failed to find metric configuration for metric: ${names}.`);
  const interval = query.get("interval") ?? "PT1M";
  if (interval !== "PT1M") throw badRequest(`This simulator has no interval ${interval}.`);
  if ((query.get("aggregation") ?? "Total").toLowerCase() !== "total") {
    throw badRequest("This simulator has only the aggregation Total.");
  }

  const first = Math.floor(from / minute) * minute;
  const minutes = Array.from(
    { length: Math.max(0, Math.ceil((to - first) / minute)) },
    (_, index) => first + index * minute,
  );
  const series = new Map<
    string,
    { readonly values: Record<Dimension, string>; readonly totals: Map<number, number> }
  >();
  for (const start of minutes) {
    const share = countedShare(start, now, lag);
    if (share === 0) continue;
    for (const { revision, status, count } of requests.inMinute(start).filter(isCounted)) {
      const values = {
        revisionName: revision,
        statusCodeCategory: `${Math.floor(status / 100)}xx`,
        statusCode: String(status),
      };
      const key = wanted.map((dimension) => values[dimension]).join(" ");
      const known = series.get(key) ?? { values, totals: new Map() };
      series.set(key, known);
      known.totals.set(start, (known.totals.get(start) ?? 0) + Math.ceil(count * share));
    }
  }

  return {
    cost: 59,
    timespan: `${toIso(from)}/${toIso(to)}`,
    interval,
    value: [
      {
        id: `${app.id}/providers/Microsoft.Insights/metrics/Requests`,
        type: "Microsoft.Insights/metrics",
        name: { value: "Requests", localizedValue: "Requests" },
        displayDescription: "Requests processed",
        unit: "Count",
        // https://learn.microsoft.com/rest/api/monitor/metrics/list: 10 unless `top` asks for more.
        timeseries: [...series.values()].slice(0, Number(query.get("top") ?? 10)).map(({ values, totals }) => ({
          metadatavalues: wanted.map((dimension) => ({
            name: { value: dimension.toLowerCase(), localizedValue: dimension.toLowerCase() },
            value: values[dimension],
          })),
          data: minutes.map((start) => ({ timeStamp: toIso(start), total: totals.get(start) ?? 0 })),
        })),
        errorCode: "Success",
      },
    ],
    namespace: "Microsoft.App/containerapps",
    resourceregion: app.location,
  };
}

/** Which share of a minute's requests is counted by now. */
function countedShare(start: number, now: number, { first, whole }: MetricLag): number {
  const age = (now - start - minute) / 1_000;
  if (age >= whole) return 1;
  return age < first ? 0 : 0.5 + (seedOf(String(start)) % 50) / 100;
}

function readTimespan(timespan: string | null, now: number): [from: number, to: number] {
  if (timespan === null) return [now - 60 * minute, now];
  const [from = Number.NaN, to = Number.NaN] = timespan.split("/").map((time) => Date.parse(time));
  if (!(from < to)) throw badRequest(`Invalid timespan: ${timespan}`);
  return [from, to];
}

/** Reads `A eq '*' and B eq '*'`. */
function readFilter(filter: string | null): Dimension[] {
  if (filter === null) return [];
  return filter.split(/ and /i).map((term) => {
    const [, name] = /^\s*(\w+) eq '\*'\s*$/i.exec(term) ?? [];
    const found = dimensions.find((dimension) => dimension.toLowerCase() === name?.toLowerCase());
    if (!found) throw badRequest(`This simulator does not read the filter ${term}.`);
    return found;
  });
}

function badRequest(message: string): ArmFault {
  return new ArmFault(400, "BadRequest", message);
}

function toIso(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
}
