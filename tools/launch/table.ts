// The text that `npm start` prints once everything is ready.
import { join, relative } from "node:path";
import { styleText } from "node:util";
import type { Server } from "../processes/process.ts";
import type { App } from "./apps.ts";
import { findDatabaseFile, type Suite } from "./template.ts";

/** Right after its start, a service on a busy machine can take seconds. */
const REQUEST_TIMEOUT_MS = 10_000;

/** The table of services, and commands to try. */
export async function renderTable(suite: Suite, apps: readonly App[]): Promise<string> {
  const rows = await Promise.all(
    apps.map(async ({ server, sidecar }) => {
      const { name, origin } = server.program;
      const stores = sidecar ? await listStores(suite, sidecar.program) : [];
      const data = [...stores, ...(await listSamples(origin))].join(", ");
      return [name, origin, sidecar?.program.origin ?? "", data];
    }),
  );
  const [header = "", ...lines] = align([["service", "url", "sidecar", "data"], ...rows]);
  const commands = (await Promise.all(apps.map(({ server }) => listCommands(server.program.origin)))).flat();
  const tries = align(commands.map((command) => command.split(/ +(?=# )/)));
  return [
    "",
    styleText("bold", header),
    ...lines,
    ...(tries.length > 0 ? ["", styleText("bold", "Try:"), ...tries] : []),
    "",
    "Ctrl-C stops everything",
    "",
  ].join("\n");
}

/** Joins the cells of each row, padded to columns. The last cell of a row widens no column. */
function align(rows: readonly (readonly string[])[]): string[] {
  const count = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(0, ...rows.filter((row) => column < row.length - 1).map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("   ")}`.trimEnd());
}

/** The state stores that a sidecar has loaded, e.g. "statestore (state.sqlite, data/state.db)". */
async function listStores(suite: Suite, { origin, env }: Server): Promise<string[]> {
  const { components = [] } = await fetchJson<{ components?: { name: string; type: string }[] }>(
    `${origin}/v1.0/metadata`,
    { "dapr-api-token": env.DAPR_API_TOKEN ?? "" },
  );
  return components
    .filter(({ type }) => type.startsWith("state."))
    .map(({ name, type }) => {
      const file = type === "state.sqlite" ? findDatabaseFile(suite, name) : undefined;
      return `${name} (${type}${file ? `, ${relative(process.cwd(), join(suite.root, file))}` : ""})`;
    });
}

/** Names the source of sample data; empty when the data comes from a subscription. */
async function listSamples(origin: string): Promise<string[]> {
  const { headers } = await fetch(origin, { method: "HEAD", signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  const source = headers.get("sample-data");
  return source ? [`sample data of ${source} (npm start -- --azure shows your own)`] : [];
}

/** The commands that a service suggests in its OpenAPI document. */
async function listCommands(origin: string): Promise<string[]> {
  try {
    const { info } = await fetchJson<{ info?: { "x-try"?: string[] } }>(`${origin}/openapi.json`);
    return (info?.["x-try"] ?? []).map((command) => command.replaceAll("$URL", origin));
  } catch {
    return []; // it has no OpenAPI document
  }
}

async function fetchJson<T>(url: string, headers: Record<string, string> = {}): Promise<T> {
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`GET ${url} returned ${response.status}`);
  return (await response.json()) as T;
}
