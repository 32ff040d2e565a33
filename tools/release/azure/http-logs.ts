// The table ContainerAppHTTPLogs of a Log Analytics workspace: one row for each request.
// https://learn.microsoft.com/azure/azure-monitor/reference/tables/containerapphttplogs
import { field, listIn } from "../../../services/runtime/field.ts";
import type { Counts } from "../core/judge.ts";
import type { Window } from "../core/windows.ts";
import type { RequestCounts } from "./azure.ts";

/**
 * The query, always in this form and in one line:
 *
 *     ContainerAppHTTPLogs
 *     | where TimeGenerated >= datetime(2026-10-05T08:00:00.000Z)
 *         and TimeGenerated < datetime(2026-10-05T08:05:00.000Z)
 *     | where ContainerAppName == "welcome" and Authority !startswith "welcome---"
 *     | summarize total = count(), bad = countif(RequestDuration > 500) by RevisionName
 *
 * The column Authority has the host name: requests to a label, such as probes, do not follow the weights.
 * RequestDuration is in milliseconds.
 *
 * @param app its name, which has no quote: read-definition.ts
 * @param over seconds
 */
export function slowRequests(app: string, { from, to }: Window, over: number): string {
  const time = (at: number) => `datetime(${new Date(at).toISOString()})`;
  return [
    "ContainerAppHTTPLogs",
    `where TimeGenerated >= ${time(from)} and TimeGenerated < ${time(to)}`,
    `where ContainerAppName == "${app}" and Authority !startswith "${app}---"`,
    `summarize total = count(), bad = countif(RequestDuration > ${Math.round(over * 1000)}) by RevisionName`,
  ].join(" | ");
}

/** Reads the response of https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format */
export function toCounts(content: unknown): RequestCounts {
  const [table] = listIn(content, "tables");
  const names = listIn(table, "columns").map((column) => field(column, "name"));
  const [revision, bad, total] = ["RevisionName", "bad", "total"].map((name) => names.indexOf(name));
  const counts = new Map<string, Counts>();
  for (const row of listIn(table, "rows")) {
    if (!Array.isArray(row)) continue;
    counts.set(String(row[revision ?? -1]), { bad: Number(row[bad ?? -1]), total: Number(row[total ?? -1]) });
  }
  return counts;
}
