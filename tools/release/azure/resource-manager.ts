// The app in Azure: reads and changes it through Azure Resource Manager, and counts requests in Azure Monitor.
import type { Clock } from "../run/clock.ts";
import { hasFailed, toApp, toPatch, toReplica } from "./app.ts";
import { type Azure, AzureFault, type RequestCounts } from "./azure.ts";
import { COUNT_TIMEOUT, createConnection } from "./connection.ts";
import type { Subject } from "./fault.ts";
import { slowRequests, toCounts as toSlowCounts } from "./http-logs.ts";
import { metricsPath, toCounts, wholeMinutes } from "./metrics.ts";
import type { GetToken } from "./sign-in.ts";

export interface Target {
  readonly subscription: string;
  readonly resourceGroup: string;
  readonly app: string;
}

export interface ResourceManagerOptions {
  readonly target: Target;
  /** Such as `https://management.azure.com`. */
  readonly origin: string;
  readonly getToken: GetToken;
  readonly logs: {
    /** Such as `https://api.loganalytics.io`. */
    readonly origin: string;
    readonly getToken: GetToken;
    /** The workspace id, a UUID; undefined: no check needs it. */
    readonly workspace: string | undefined;
  };
  readonly clock: Clock;
  /** Of each request, for tests: see ConnectionOptions. */
  readonly timeout?: number;
}

/** The version that infra/bicep uses. */
const API_VERSION = "2026-07-01";

export function createResourceManager(options: ResourceManagerOptions): Azure {
  const { target, origin, getToken, logs, clock, timeout } = options;
  const { subscription, resourceGroup, app } = target;
  const id = `/subscriptions/${subscription}/resourceGroups/${encodeURIComponent(resourceGroup)}/providers/Microsoft.App/containerApps/${app}`;
  const path = (suffix = "") => `${id}${suffix}?api-version=${API_VERSION}`;
  const subject: Subject = {
    name: `the container app ${app} in the resource group ${resourceGroup}`,
    find: `az containerapp list --resource-group ${resourceGroup} --subscription ${subscription} --output table`,
    role: "Contributor",
    scope: id,
  };
  const manager = createConnection({
    origin,
    variable: "AZURE_RESOURCE_MANAGER_ENDPOINT",
    getToken,
    clock,
    timeout,
  });
  const monitor = createConnection({
    origin: logs.origin,
    variable: "AZURE_LOG_ANALYTICS_ENDPOINT",
    getToken: logs.getToken,
    clock,
    timeout,
  });
  /** The app of the last read: a PATCH of a template has to name what it removes. */
  let current: unknown;
  /** Of the last PATCH: its URL, and why it failed, once Azure has said it. */
  let operation: { readonly url: string; reason?: string | undefined } | undefined;

  return {
    now: () => manager.now(),

    async readApp() {
      current = await manager.read(path(), subject);
      const revisions = await manager.readAll(path("/revisions"), subject);
      if (operation && operation.reason === undefined && hasFailed(current)) {
        operation.reason = await manager.explainOperation(operation.url);
      }
      return toApp(current, revisions, operation?.reason);
    },

    async readReplicas(revision) {
      const replicas = await manager.readAll(path(`/revisions/${revision}/replicas`), subject).catch((error) => {
        // Azure does not list a new revision at once.
        if (error instanceof AzureFault && error.kind === "missing") return [];
        throw error;
      });
      return replicas.map(toReplica);
    },

    async countErrors(from, to): Promise<RequestCounts> {
      const window = wholeMinutes(from, to);
      if (window === undefined) return new Map();
      const about = { ...subject, name: `the metrics of ${subject.name}` };
      return toCounts(await manager.read(metricsPath(id, window), about, { timeout: COUNT_TIMEOUT }), window);
    },

    async countSlow(from, to, over): Promise<RequestCounts> {
      const window = wholeMinutes(from, to);
      if (window === undefined) return new Map();
      const { workspace } = logs;
      if (workspace === undefined) {
        const remedy = "Set AZURE_LOG_ANALYTICS_WORKSPACE_ID to the id of the workspace that has the logs";
        throw new AzureFault("missing", `A check has source httpLogs, and no workspace is set. ${remedy}`);
      }
      const about: Subject = {
        name: `the table ContainerAppHTTPLogs in the workspace ${workspace}`,
        find: "az monitor log-analytics workspace list --query '[].{name:name,id:customerId}' --output table",
        role: "'Log Analytics Reader'",
        scope: "WORKSPACE-ID",
      };
      const options = { body: { query: slowRequests(app, window, over) }, timeout: COUNT_TIMEOUT };
      const rows = await monitor.read(`/v1/workspaces/${workspace}/query`, about, options).catch((error) => {
        if (!(error instanceof AzureFault) || !/Failed to resolve (table|scalar)/.test(error.message)) throw error;
        const remedy =
          "Send the logs of the environment there: a diagnostic setting with the category ContainerAppHTTPLogs. " +
          "The table appears minutes after the first request";
        throw new AzureFault("missing", `The workspace ${workspace} has no table ContainerAppHTTPLogs. ${remedy}`);
      });
      return toSlowCounts(rows);
    },

    async patch(change, check) {
      if (change.template !== undefined) current ??= await manager.read(path(), subject);
      const url = await manager.write("PATCH", path(), subject, toPatch(change, current), check);
      operation = url === undefined ? undefined : { url };
    },

    async setActive(revision, active, check) {
      const action = path(`/revisions/${revision}/${active ? "activate" : "deactivate"}`);
      await manager.write("POST", action, subject, undefined, check);
    },
  };
}
