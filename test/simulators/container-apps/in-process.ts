// The release tool's view of Azure without HTTP, sign-in and retries: thousands of releases in seconds. The shapes of
// requests and responses are those of the tool's own client.
import type { AzureResponse } from "../../../stand-ins/azure/http.ts";
import { hasFailed, toApp, toPatch, toReplica } from "../../../tools/release/azure/app.ts";
import { type Azure, AzureFault, type RequestCounts } from "../../../tools/release/azure/azure.ts";
import { explainResponse, failureOfOperation } from "../../../tools/release/azure/fault.ts";
import { toCounts as countSlow, slowRequests } from "../../../tools/release/azure/http-logs.ts";
import { toCounts as countErrors, metricsPath, wholeMinutes } from "../../../tools/release/azure/metrics.ts";
import { listAt } from "../../support/at.ts";
import { type Simulator, workspaceId } from "./simulator.ts";

/** @param signal ends the client: a request that it interrupts never comes back, as after a kill of the process */
export function createAzure(simulator: Simulator, signal?: AbortSignal): Azure {
  const { id, name } = simulator.app;
  const subject = { name, find: "", role: "", scope: id };
  const version = "?api-version=2026-07-01";
  const never = new Promise<never>(() => {});
  let now = simulator.clock.now();
  let current: unknown;
  let operation: string | undefined;

  async function send(method: string, path: string, content?: unknown): Promise<unknown> {
    if (signal?.aborted) return never;
    const url = new URL(`https://management.azure.com${path}`);
    const body = content === undefined ? "" : JSON.stringify(content);
    const response = await simulator.handle({ method, url, headers: {}, body });
    if (signal?.aborted) return never;
    if (response === undefined) throw new AzureFault("unreachable", "Azure did not respond within 10 s.");
    if (response.status === 0) throw new AzureFault("unreachable", "Azure is unreachable (ECONNRESET).");
    now = Date.parse(response.headers?.Date ?? "");
    if (method === "PATCH") operation = response.headers?.Location;
    if (response.status >= 200 && response.status <= 299) return response.body;
    throw explainResponse(toHttp(response), subject, now);
  }

  async function explainOperation(): Promise<string | undefined> {
    if (operation === undefined) return undefined;
    const url = new URL(operation);
    const response = await simulator.handle({ method: "GET", url, headers: {}, body: "" });
    return response && failureOfOperation(toHttp(response));
  }

  return {
    now: () => now,
    async readApp() {
      current = await send("GET", id + version);
      const revisions = listAt(await send("GET", `${id}/revisions${version}`), "value");
      return toApp(current, revisions, hasFailed(current) ? await explainOperation() : undefined);
    },
    async readReplicas(revision) {
      const list = await send("GET", `${id}/revisions/${revision}/replicas${version}`).catch((error: unknown) => {
        if (error instanceof AzureFault && error.kind === "missing") return { value: [] };
        throw error;
      });
      return listAt(list, "value").map(toReplica);
    },
    async countErrors(from, to): Promise<RequestCounts> {
      const window = wholeMinutes(from, to);
      return window ? countErrors(await send("GET", metricsPath(id, window)), window) : new Map();
    },
    async countSlow(from, to, over): Promise<RequestCounts> {
      const window = wholeMinutes(from, to);
      const query = window && slowRequests(name, window, over);
      return query ? countSlow(await send("POST", `/v1/workspaces/${workspaceId}/query`, { query })) : new Map();
    },
    async patch(change, check) {
      check?.();
      await send("PATCH", id + version, toPatch(change, current));
    },
    async setActive(revision, active, check) {
      check?.();
      await send("POST", `${id}/revisions/${revision}/${active ? "activate" : "deactivate"}${version}`);
    },
  };
}

function toHttp({ status, body, headers = {} }: AzureResponse) {
  return { status, bodyAsText: JSON.stringify(body), headers: { get: (name: string) => headers[name] } };
}
