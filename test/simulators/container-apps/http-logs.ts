// Log Analytics' table ContainerAppHTTPLogs: a row for each request, minutes late. Reads a small part of KQL and
// rejects the rest: conditions on time, app, revision, status, duration and user agent; then counts by revision.
// https://learn.microsoft.com/azure/container-apps/log-monitoring#http-logs
import { ArmFault } from "../resource-manager/faults.ts";
import type { App } from "./app.ts";
import { minute, type Requests, type Row } from "./requests.ts";

type Condition = (row: Row) => boolean;

interface Count {
  readonly name: string;
  readonly counts: Condition;
}

/**
 * @param timespan Limits the rows, as the property `timespan` of the request
 * @param lag Seconds until a request is in the table
 * @throws ArmFault 400 for KQL that this simulator does not read
 */
export function queryLogs(
  { query, timespan }: { readonly query: string; readonly timespan: string | undefined },
  app: App,
  requests: Requests,
  now: number,
  lag: number,
) {
  const [table, ...operators] = query.split("|").map((part) => part.trim());
  if (table !== "ContainerAppHTTPLogs") throw rejected(`Failed to resolve table expression named '${table}'`);
  const last = operators.pop() ?? "";
  const conditions = operators.flatMap((operator) => readWhere(operator, app.name));
  const { counts } = readSummarize(last);

  const [from = app.createdAt, to = now] = timespan?.split("/").map((time) => Date.parse(time)) ?? [];
  const end = Math.min(to, now - lag * 1_000);
  const rows = new Map<string, number[]>();
  for (let start = Math.floor(from / minute) * minute; start <= end; start += minute) {
    for (const row of requests.inMinute(start)) {
      if (row.at < from || row.at > end || !conditions.every((holds) => holds(row))) continue;
      const known = rows.get(row.revision) ?? counts.map(() => 0);
      rows.set(
        row.revision,
        counts.map(({ counts: isCounted }, index) => (known[index] ?? 0) + (isCounted(row) ? row.count : 0)),
      );
    }
  }
  return {
    tables: [
      {
        name: "PrimaryResult",
        columns: [{ name: "RevisionName", type: "string" }, ...counts.map(({ name }) => ({ name, type: "long" }))],
        rows: [...rows].map(([revision, values]) => [revision, ...values]),
      },
    ],
  };
}

function readWhere(operator: string, app: string): Condition[] {
  const [, conditions] = /^where\s+(.+)$/s.exec(operator) ?? [];
  if (conditions === undefined) throw rejected(`This simulator does not read '${operator}'.`);
  return conditions.split(/\s+and\s+/).map((condition) => readCondition(condition.trim(), app));
}

const columns: Readonly<Record<string, (row: Row) => number | string>> = {
  TimeGenerated: ({ at }) => at,
  StartTime: ({ at, duration }) => at - duration,
  StatusCode: ({ status }) => status,
  RequestDuration: ({ duration }) => duration,
  RevisionName: ({ revision }) => revision,
  Authority: ({ authority }) => authority,
  UserAgent: ({ userAgent }) => userAgent,
};

const operations: Readonly<Record<string, (a: number | string, b: number | string) => boolean>> = {
  ">=": (a, b) => a >= b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  "<": (a, b) => a < b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  startswith: (a, b) => String(a).startsWith(String(b)),
  "!startswith": (a, b) => !String(a).startsWith(String(b)),
};

/** Reads such as `RequestDuration > 500`, `not(Authority startswith "welcome---")` or `StartTime < datetime(…)`. */
function readCondition(text: string, app: string): Condition {
  const [, negated] = /^not\((.+)\)$/s.exec(text) ?? [];
  if (negated !== undefined) {
    const holds = readCondition(negated.trim(), app);
    return (row) => !holds(row);
  }
  const [, column = "", operation = "", literal = ""] =
    /^(\w+)\s*(>=|<=|==|!=|>|<|!?startswith)\s*(.+)$/.exec(text) ?? [];
  const compare = operations[operation];
  const value = readLiteral(literal);
  const read = column === "ContainerAppName" ? () => app : columns[column];
  if (!compare || !read || value === undefined) throw rejected(`This simulator does not read '${text}'.`);
  return (row) => compare(read(row), value);
}

function readLiteral(text: string): number | string | undefined {
  const [, time] = /^datetime\(["']?([^"')]+)["']?\)$/.exec(text) ?? [];
  if (time) return Date.parse(time);
  const [, quoted] = /^"([^"\\]*)"$/.exec(text) ?? /^'([^'\\]*)'$/.exec(text) ?? [];
  if (quoted !== undefined) return quoted;
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** Reads such as `summarize total = count(), slow = countif(RequestDuration > 500) by RevisionName`. */
function readSummarize(operator: string): { counts: Count[] } {
  const [, list] = /^summarize\s+(.+)\s+by\s+RevisionName$/s.exec(operator) ?? [];
  if (list === undefined) throw rejected(`This simulator does not read '${operator}'.`);
  const counts = list.split(",").map((item): Count => {
    const [, name, condition] = /^\s*(\w+)\s*=\s*(?:count\(\)|countif\((.+)\))\s*$/s.exec(item) ?? [];
    if (!name) throw rejected(`This simulator does not read '${item}'.`);
    return { name, counts: condition === undefined ? () => true : readCondition(condition.trim(), "") };
  });
  return { counts };
}

function rejected(message: string): ArmFault {
  return new ArmFault(400, "BadArgumentError", `The request had some invalid properties: ${message}`);
}
