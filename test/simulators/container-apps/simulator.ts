// Simulates what the release tool needs of Azure for one container app: its control plane, metrics and logs, on a
// virtual clock. serve.ts puts it behind HTTPS; data-plane.ts runs its revisions.
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { armError, ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import type { Clock } from "../../../tools/release/run/clock.ts";
import { readBody } from "../resource-manager/body.ts";
import { ArmFault, methodNotSupported } from "../resource-manager/faults.ts";
import type { Json } from "../resource-manager/json.ts";
import { type App, createApp } from "./app.ts";
import { createVirtualClock, type VirtualClock } from "./clock.ts";
import type { Fault, SeenRequest } from "./faults.ts";
import { queryLogs } from "./http-logs.ts";
import { type MetricLag, queryMetrics, usualLag } from "./metrics.ts";
import { createRequests, type Requests, type Row, type Workload } from "./requests.ts";
import type { Revision } from "./revision.ts";
import { isVisible } from "./revision.ts";
import type { Variant } from "./variants.ts";
import { showApp, showReplicas, showRevision } from "./views.ts";

export const subscriptionId = "00000000-5a4d-4b1e-8000-000000000001";
export const workspaceId = "00000000-5a4d-4b1e-8000-0000000000f1";
export const groupName = "rg-simulator";

export interface SimulatorOptions {
  /** Default: welcome. */
  readonly name?: string;
  readonly image?: string;
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly secretRef?: string }[];
  /** Names of the app's secrets. */
  readonly secrets?: readonly string[];
  readonly mode?: "Single" | "Multiple";
  readonly tags?: Readonly<Record<string, string>>;
  /** More of the template, such as `scale`. */
  readonly template?: Json;
  /** More of the configuration's ingress; null: the app has no ingress. */
  readonly ingress?: Json | null;
  /** Default: a virtual one. */
  readonly clock?: Clock;
  readonly variants?: (image: string) => Variant;
  /** Makes up requests. Default: only requests that are really sent count. */
  readonly workload?: Workload;
  readonly seed?: number;
  /** Domain of the environment. */
  readonly domain?: () => string;
  readonly onStart?: (revision: Revision) => void;
  readonly onStop?: (revision: Revision) => void;
  /** Makes the state of the processes agree with the virtual time, before a request is answered. */
  readonly onSettle?: () => Promise<void>;
}

export interface Simulator {
  readonly app: App;
  readonly requests: Requests;
  /** Undefined when the options name another clock. */
  readonly virtualClock: VirtualClock;
  readonly clock: Clock;
  readonly options: Mutable;
  /** Answers a request as Azure does; undefined: no response ever comes. Status 0: the connection ends. */
  handle(request: AzureRequest): Promise<AzureResponse | undefined>;
  /** Writes as somebody else does, and waits until the write is in force. Only with a virtual clock. */
  writeAs(body: Json, method?: "PUT" | "PATCH"): void;
  /** The weight of each revision in force now. */
  weights(): Record<string, number>;
}

/** What a test changes while the simulator runs. */
interface Mutable {
  /** Called for each request. A fault replaces the response. Default: none. */
  intercept: ((request: SeenRequest) => Fault | undefined | Promise<Fault | undefined>) | undefined;
  /** Called before Azure does what a request asks for, and after that, before the response. */
  onRequest: ((moment: "before" | "after", request: SeenRequest) => void | Promise<void>) | undefined;
  metricLag: MetricLag;
  /** Without them, metrics are answered without any time series. */
  hasMetrics: boolean;
  /** Whether requests to the address of a label count in the metric. Nothing says whether they do in Azure. */
  countsLabels: boolean;
  /** Seconds until a request is in the logs. */
  logLag: number;
  /** Milliseconds by which the header Date is ahead. */
  skew: number;
  /** Seconds by which reads of the app and its revisions are old. */
  staleness: number;
  /** Milliseconds by which each request moves a virtual clock, for clients that cannot sleep on it. */
  requestTime: number;
}

/** How old a stale read can be, in milliseconds. */
const remembered = 600_000;

interface Snapshot {
  readonly at: number;
  readonly app: Json;
  readonly revisions: readonly Json[];
}

export function createSimulator(options: SimulatorOptions = {}): Simulator {
  const {
    name = "welcome",
    image = "registry.example/welcome:1.0.0",
    env = [],
    mode = "Single",
    secrets = [],
    seed = 1,
  } = options;
  const virtualClock = createVirtualClock();
  const clock = options.clock ?? virtualClock;
  const domain = options.domain ?? (() => "simulator.westeurope.azurecontainerapps.io");
  const { onSettle = async () => {}, onStart = () => {}, onStop = () => {} } = options;
  const ingress = options.ingress === null ? {} : { ingress: { external: true, targetPort: 8080, ...options.ingress } };
  const app = createApp({
    id: `/subscriptions/${subscriptionId}/resourceGroups/${groupName}/providers/Microsoft.App/containerApps/${name}`,
    location: "westeurope",
    clock,
    variants: options.variants,
    onStart,
    onStop,
    body: {
      tags: options.tags ?? {},
      properties: {
        configuration: {
          activeRevisionsMode: mode,
          ...ingress,
          ...(secrets.length > 0 && { secrets: secrets.map((secret) => ({ name: secret, value: "secret" })) }),
        },
        template: { containers: [{ name, image, env }], scale: { minReplicas: 1 }, ...options.template },
      },
    },
  });
  const requests = createRequests(app, clock, seed, options.workload);
  const changeable: Mutable = {
    intercept: undefined,
    onRequest: undefined,
    metricLag: usualLag,
    hasMetrics: true,
    countsLabels: true,
    logLag: 300,
    skew: 0,
    staleness: 0,
    requestTime: 0,
  };
  const snapshots: Snapshot[] = [];
  let number = 0;

  const take = (): Snapshot => {
    const now = clock.now();
    const visible = app.revisions.filter((revision) => isVisible(revision, now));
    const taken = {
      at: now,
      app: showApp(app, domain()),
      revisions: visible.map((revision) => showRevision(app, revision, domain(), now)),
    };
    snapshots.push(taken);
    const old = snapshots.findLastIndex(({ at }) => at < now - remembered);
    if (old > 0) snapshots.splice(0, old);
    return taken;
  };
  /** What a read shows: the past, when reads are stale. */
  const look = (): Snapshot => {
    const taken = take();
    const until = clock.now() - changeable.staleness * 1_000;
    return changeable.staleness === 0 ? taken : (snapshots.findLast(({ at }) => at <= until) ?? snapshots[0] ?? taken);
  };

  async function handle(request: AzureRequest): Promise<AzureResponse | undefined> {
    if (!options.clock) virtualClock.advance(changeable.requestTime);
    number++;
    const path = decodeURIComponent(request.url.pathname).replace(/\/$/, "");
    const seen: SeenRequest = { number, method: request.method, path, kind: kindOf(path), body: request.body };
    app.settle();
    await onSettle();
    await changeable.onRequest?.("before", seen);
    const fault = await changeable.intercept?.(seen);
    const response = fault?.hasEffect === false ? undefined : answer(request, seen);
    await changeable.onRequest?.("after", seen);
    if (fault?.response === "none") return undefined;
    if (fault?.response === "lost") return { status: 0, body: undefined };
    return dated(fault?.response ?? response ?? armError(500, "InternalServerError", "No response."));
  }

  const dated = (response: AzureResponse): AzureResponse => ({
    ...response,
    headers: { ...response.headers, Date: new Date(clock.now() + changeable.skew).toUTCString() },
  });

  function answer(request: AzureRequest, seen: SeenRequest): AzureResponse {
    try {
      return seen.kind === "logs" ? onLogs(request) : onArm(request, seen);
    } catch (error) {
      if (error instanceof ArmFault) return error.response;
      throw error;
    }
  }

  function onLogs(request: AzureRequest): AzureResponse {
    const { query, timespan } = readBody(request);
    if (typeof query !== "string") throw new ArmFault(400, "BadArgumentError", "The request has no query.");
    const asked = { query, timespan: typeof timespan === "string" ? timespan : undefined };
    return ok(queryLogs(asked, app, requests, clock.now(), changeable.logLag));
  }

  function onArm(request: AzureRequest, { kind, path }: SeenRequest): AzureResponse {
    const { method, url } = request;
    const now = clock.now();
    if (kind === "operation") return onOperation(url, path);
    const below = path.slice(app.id.length);
    if (path.slice(0, app.id.length).toLowerCase() !== app.id.toLowerCase() || !/^(\/|$)/.test(below)) {
      const message = `The Resource '${path.split("/providers/").at(-1)}' under resource group '${groupName}' was not found.`;
      throw new ArmFault(404, "ResourceNotFound", message);
    }
    if (kind === "app") return onApp(request);
    if (kind === "metrics") {
      const { metricLag: lag, hasMetrics, countsLabels } = changeable;
      const label = `${app.name}---`;
      const isCounted = ({ authority }: Row) => hasMetrics && (countsLabels || !authority.startsWith(label));
      return ok(queryMetrics(url.searchParams, app, requests, { now, lag, isCounted }));
    }
    const [, , revisionName = "", action = ""] = below.split("/");
    if (kind === "activation") {
      if (method !== "POST") throw methodNotSupported(method);
      app.setActive(revisionName, action.toLowerCase() === "activate");
      return ok({ message: `${action} succeeded.` });
    }
    if (method !== "GET") throw methodNotSupported(method);
    if (revisionName === "") return ok({ value: look().revisions });
    const revision = app.revisions.find((known) => known.name === revisionName && isVisible(known, now));
    if (!revision) throw new ArmFault(404, "RevisionNotFound", `The revision '${revisionName}' was not found.`);
    if (kind === "replicas") return ok({ value: showReplicas(app, revision, now) });
    return ok(showRevision(app, revision, domain(), now));
  }

  function onApp(request: AzureRequest): AzureResponse {
    const { method, url } = request;
    if (method === "GET") return ok(look().app);
    if (method !== "PUT" && method !== "PATCH") throw methodNotSupported(method);
    take();
    const id = app.write(readBody(request), method);
    const link = (name: string) => ({
      [name === "containerappOperationStatuses" ? "Azure-AsyncOperation" : "Location"]:
        `${url.origin}/subscriptions/${subscriptionId}/providers/Microsoft.App/locations/${app.location}/${name}/${id}${url.search}`,
    });
    if (method === "PUT") return { ...ok(showApp(app, domain())), headers: link("containerappOperationStatuses") };
    return { status: 202, body: undefined, headers: link("containerappOperationResults") };
  }

  function onOperation(url: URL, path: string): AzureResponse {
    const id = path.split("/").at(-1) ?? "";
    const operation = app.operation(id);
    if (!operation) throw new ArmFault(404, "OperationNotFound", `The operation '${id}' was not found.`);
    const { isRunning, fault } = operation;
    const retry = { "x-ms-retry-after-ms": "1" };
    if (/\/containerappOperationStatuses\//i.test(path)) {
      const status = isRunning ? "InProgress" : fault ? "Failed" : "Succeeded";
      const error = !isRunning && fault ? { error: { code: fault.code, message: fault.message } } : {};
      return { ...ok({ id: path, name: id, status, ...error }), headers: retry };
    }
    if (isRunning) return { status: 202, body: undefined, headers: { ...retry, Location: url.href } };
    return fault ? fault.response : ok(showApp(app, domain()));
  }

  return {
    app,
    requests,
    clock,
    virtualClock,
    options: changeable,
    handle,
    writeAs(body, method = "PATCH") {
      const id = app.write(body, method);
      while (app.operation(id)?.isRunning) {
        virtualClock.advance(1_000);
        app.settle();
      }
    },
    weights() {
      app.settle();
      return Object.fromEntries(app.weightsOf(app.splitAt(clock.now()), clock.now()));
    },
  };
}

function kindOf(path: string): SeenRequest["kind"] {
  if (/^\/v1\/workspaces\/[^/]+\/query$/i.test(path)) return "logs";
  if (/\/containerappOperation(Results|Statuses)\/[^/]+$/i.test(path)) return "operation";
  const [, below] = /\/Microsoft\.App\/containerApps\/[^/]+(.*)$/i.exec(path) ?? [];
  if (below === undefined) return "other";
  if (below === "") return "app";
  if (/^\/providers\/Microsoft\.Insights\/metrics$/i.test(below)) return "metrics";
  if (/^\/revisions(\/[^/]+)?$/i.test(below)) return "revisions";
  if (/^\/revisions\/[^/]+\/replicas$/i.test(below)) return "replicas";
  return /^\/revisions\/[^/]+\/(de)?activate$/i.test(below) ? "activation" : "other";
}
