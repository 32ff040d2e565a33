// What the simulator of Container Apps promises, through Azure's own SDK. test/infra/container-apps.test.ts asserts the
// same through az.
import tls from "node:tls";
import { ContainerAppsAPIClient, type TrafficWeight } from "@azure/arm-appcontainers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { faults } from "./faults.ts";
import { steady } from "./requests.ts";
import { type Served, serveSimulator } from "./serve.ts";
import {
  createSimulator,
  groupName,
  type Simulator,
  type SimulatorOptions,
  subscriptionId,
  workspaceId,
} from "./simulator.ts";

const { ca } = await loadKeys();
tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);

let simulator: Simulator;
let served: Served;
let client: ContainerAppsAPIClient;
const app = "welcome";
/** Polls without a pause. */
const soon = { updateIntervalInMs: 1 };
const live = "welcome--0000001";

async function start(options: SimulatorOptions = {}): Promise<void> {
  simulator = createSimulator(options);
  served = await serveSimulator(simulator);
  client = new ContainerAppsAPIClient({ getToken: signIn }, subscriptionId, {
    endpoint: served.azure.httpsUrl,
    retryOptions: { maxRetries: 0 },
  });
}
/** As ManagedIdentityCredential, which would remember the endpoint of the first test. */
async function signIn(scopes: string | string[]) {
  const { IDENTITY_ENDPOINT, IDENTITY_HEADER = "" } = served.env;
  const resource = String(scopes).replace("/.default", "");
  const url = `${IDENTITY_ENDPOINT}?api-version=2019-08-01&resource=${resource}`;
  const response = await fetch(url, { headers: { "X-IDENTITY-HEADER": IDENTITY_HEADER } });
  const { access_token, expires_on } = (await response.json()) as { access_token: string; expires_on: string };
  return { token: access_token, expiresOnTimestamp: Number(expires_on) * 1_000 };
}

/** Waits for the operation, which takes virtual seconds: each request moves the clock. */
async function patch(properties: object, tags?: Record<string, string>) {
  simulator.options.requestTime = 2_000;
  const written = await client.containerApps.update(
    groupName,
    app,
    {
      location: "",
      ...(tags ? { tags } : {}),
      ...properties,
    },
    soon,
  );
  simulator.options.requestTime = 0;
  return written;
}
const read = () => client.containerApps.get(groupName, app);
const traffic = (rows: TrafficWeight[]) => patch({ configuration: { ingress: { traffic: rows } } });
const templateOf = (image: string, revisionSuffix: string) => ({
  template: { revisionSuffix, containers: [{ name: app, image }], scale: { minReplicas: 1 } },
});
async function revision(name: string) {
  return client.containerAppsRevisions.getRevision(groupName, app, name);
}
async function revisions() {
  const all = [];
  for await (const one of client.containerAppsRevisions.listRevisions(groupName, app)) all.push(one);
  return all;
}
const pinned: TrafficWeight[] = [{ revisionName: live, weight: 100, label: "blue" }];

beforeEach(() => start({ mode: "Multiple" }));
afterEach(async () => {
  await served.close();
});

describe("the simulator of Container Apps", () => {
  test("shows an app with its traffic, its latest revision and its address", async () => {
    expect(await read()).toMatchObject({
      name: app,
      provisioningState: "Succeeded",
      latestRevisionName: live,
      latestReadyRevisionName: live,
      configuration: {
        activeRevisionsMode: "Multiple",
        ingress: { external: true, traffic: [{ latestRevision: true, weight: 100 }] },
      },
    });
    expect((await read()).configuration?.ingress?.fqdn).toMatch(/^welcome\.simulator\./);
  });

  test("while an operation runs, the app shows what was asked for and rejects other writes", async () => {
    await simulator.handle({
      method: "PATCH",
      url: new URL(`https://management.azure.com${simulator.app.id}?api-version=2026-07-01`),
      headers: {},
      body: JSON.stringify({ properties: templateOf("registry.example/welcome:2.0.0", "two") }),
    });
    const shown = await read();
    expect(shown).toMatchObject({ provisioningState: "InProgress", latestRevisionName: "welcome--two" });
    await expect(client.containerApps.update(groupName, app, { location: "", tags: {} })).rejects.toMatchObject({
      statusCode: 409,
      code: "ContainerAppOperationInProgress",
    });
    simulator.virtualClock.advance(15_000);
    expect(await read()).toMatchObject({ provisioningState: "Succeeded" });
  });

  test("the traffic splits by revision and label, and the weights must add up to 100", async () => {
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    const table = [
      ...pinned.map((row) => ({ ...row, weight: 95 })),
      { revisionName: "welcome--two", weight: 5, label: "green" },
    ];
    expect((await traffic(table)).configuration?.ingress?.traffic).toEqual(table);
    expect(simulator.weights()).toEqual({ [live]: 95, "welcome--two": 5 });
    for (const wrong of [
      [{ revisionName: live, weight: 95 }],
      [{ revisionName: "welcome--no", weight: 100 }],
      [
        { revisionName: live, weight: 50, label: "a" },
        { revisionName: live, weight: 50, label: "a" },
      ],
      [{ revisionName: live, weight: 100, label: "Blue" }],
    ]) {
      await expect(traffic(wrong)).rejects.toMatchObject({ statusCode: 400 });
    }
  });

  test("a patch replaces all tags, and keeps them when it has none", async () => {
    await patch({}, { a: "1", b: "2" });
    await patch({}, { c: "3" });
    await traffic(pinned);
    expect((await read()).tags).toEqual({ c: "3" });
    await expect(patch({}, { a: "x".repeat(257) })).rejects.toMatchObject({ code: "InvalidTagValueLength" });
  });

  test("a template makes a revision that is healthy only later, gets no traffic and shows no label", async () => {
    await traffic(pinned);
    const before = simulator.virtualClock.now();
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    expect(simulator.virtualClock.now() - before).toBeLessThan(20_000);
    expect(await revision("welcome--two")).toMatchObject({ active: true, healthState: "None", trafficWeight: 0 });
    simulator.virtualClock.advance(30_000);
    const states = (await revisions()).map(({ name, active, healthState, provisioningState, trafficWeight }) => [
      name,
      active,
      healthState,
      provisioningState,
      trafficWeight,
    ]);
    expect(states).toEqual([
      [live, true, "Healthy", "Provisioned", 100],
      ["welcome--two", true, "Healthy", "Provisioned", 0],
    ]);
    const path = `${served.azure.httpsUrl}${simulator.app.id}/revisions/${live}?api-version=2026-07-01`;
    expect(JSON.stringify(await get(path))).not.toContain("blue");
  });

  test("the same template makes no revision, and another template with the same suffix fails", async () => {
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    expect(await revisions()).toHaveLength(2);
    await expect(patch(templateOf("registry.example/welcome:3.0.0", "two"))).rejects.toThrow(/already exists/);
    expect(await read()).toMatchObject({ provisioningState: "Failed", latestRevisionName: "welcome--two" });
  });

  test("without its image no revision is created, the operation says why, and the app keeps the template", async () => {
    const missing = "registry.example/welcome:2.0.0-no-image";
    await expect(patch(templateOf(missing, "two"), { written: "yes" })).rejects.toThrow(
      `Field 'template.containers.welcome.image' is invalid with details: 'Invalid value: "${missing}": GET https:: MANIFEST_UNKNOWN`,
    );
    expect(await revisions()).toHaveLength(1);
    expect(await read()).toMatchObject({
      provisioningState: "Failed",
      latestRevisionName: live,
      template: { revisionSuffix: "two", containers: [{ image: missing }] },
      tags: { written: "yes" },
    });
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    expect(await read()).toMatchObject({ provisioningState: "Succeeded", latestRevisionName: "welcome--two" });
  });

  test("a revision shows another name of a secret than the app, and a template with that name is rejected", async () => {
    await served.close();
    await start({ mode: "Multiple", secrets: ["key"], env: [{ name: "KEY", secretRef: "key" }] });
    simulator.virtualClock.advance(5_000); // until it is listed
    const shown = await read();
    expect(shown.configuration?.secrets).toEqual([{ name: "key" }]);
    expect(shown.template?.containers?.[0]?.env).toEqual([{ name: "KEY", secretRef: "key" }]);
    const { template } = await revision(live);
    expect(template?.containers?.[0]?.env).toEqual([{ name: "KEY", secretRef: "capp-welcome" }]);
    await expect(patch({ template: { ...template, revisionSuffix: "two" } })).rejects.toMatchObject({
      statusCode: 400,
      code: "ContainerAppSecretRefNotFound",
    });
  });

  test("the template and suffix of an older revision again make no revision, unless that is switched off", async () => {
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    await patch(templateOf("registry.example/welcome:3.0.0", "three"));
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    expect(await revisions()).toHaveLength(3);
    simulator.app.switches.rejectsUsedSuffix = true;
    await expect(patch(templateOf("registry.example/welcome:2.0.0", "two"))).rejects.toThrow(/already exists/);
  });

  test("a crashing revision is Provisioned, becomes Unhealthy, and its replica counts its restarts", async () => {
    await traffic(pinned);
    await patch(templateOf("registry.example/welcome:2.0.0-crash-loop", "two"));
    simulator.virtualClock.advance(60_000);
    expect(await revision("welcome--two")).toMatchObject({
      provisioningState: "Provisioned",
      healthState: "Unhealthy",
    });
    const { value } = await client.containerAppsRevisionReplicas.listReplicas(groupName, app, "welcome--two");
    expect(value).toMatchObject([{ runningState: "NotRunning", containers: [{ name: app, ready: false }] }]);
    expect(value[0]?.containers?.[0]?.restartCount).toBeGreaterThan(2);
    expect(await read()).toMatchObject({ latestReadyRevisionName: live });
  });

  test("deactivation and activation stop and start a revision", async () => {
    await traffic(pinned);
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    await client.containerAppsRevisions.deactivateRevision(groupName, app, "welcome--two");
    expect(await revision("welcome--two")).toMatchObject({ active: false, runningState: "Stopped", replicas: 0 });
    await client.containerAppsRevisions.activateRevision(groupName, app, "welcome--two");
    expect(await revision("welcome--two")).toMatchObject({ active: true, healthState: "None" });
    await expect(client.containerAppsRevisions.activateRevision(groupName, app, "welcome--no")).rejects.toMatchObject({
      statusCode: 404,
    });
  });

  test("in the mode Single, a revision gets all traffic when it is ready, and the one before it stops", async () => {
    await patch({ configuration: { activeRevisionsMode: "Single" } });
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    expect(simulator.weights()).toEqual({ [live]: 100 });
    simulator.virtualClock.advance(30_000);
    expect(simulator.weights()).toEqual({ "welcome--two": 100 });
    expect((await revision(live)).active).toBe(false);
  });
});

describe("its metrics and logs", () => {
  const minutes = (count: number) => count * 60_000;
  /** Asks for the last hour. */
  async function metrics() {
    const now = simulator.virtualClock.now();
    const query = new URLSearchParams({
      "api-version": "2023-10-01",
      metricnames: "Requests",
      aggregation: "Total",
      interval: "PT1M",
      timespan: `${new Date(now - minutes(60)).toISOString()}/${new Date(now).toISOString()}`,
      $filter: "revisionName eq '*' and statusCodeCategory eq '*'",
    });
    const body = (await get(
      `${served.azure.httpsUrl}${simulator.app.id}/providers/Microsoft.Insights/metrics?${query}`,
    )) as Metrics;
    return body.value[0]?.timeseries ?? [];
  }
  interface Metrics {
    value: {
      timeseries: {
        metadatavalues: { name: { value: string }; value: string }[];
        data: { timeStamp: string; total: number }[];
      }[];
    }[];
  }
  beforeEach(async () => {
    await served.close();
    await start({ mode: "Multiple", workload: steady({ perSecond: 10, errors: 0.1 }) });
  });

  test("requests are counted by revision and category, minutes late, and the newest minutes are zero", async () => {
    simulator.virtualClock.advance(minutes(20));
    const series = await metrics();
    expect(series.map(({ metadatavalues }) => metadatavalues.map(({ name, value }) => [name.value, value]))).toEqual([
      [
        ["revisionname", live],
        ["statuscodecategory", "2xx"],
      ],
      [
        ["revisionname", live],
        ["statuscodecategory", "5xx"],
      ],
    ]);
    const good = series[0]?.data.slice(-20).map(({ total }) => total) ?? [];
    expect(good.slice(-2)).toEqual([0, 0]);
    const settled = good.slice(0, 15);
    expect(Math.min(...settled)).toBeGreaterThan(450);
    expect(Math.max(...settled)).toBeLessThan(630);
    const bad = series[1]?.data.reduce((sum, { total }) => sum + total, 0) ?? 0;
    expect(bad / (bad + good.reduce((sum, total) => sum + total, 0))).toBeCloseTo(0.1, 1);
  });

  test("a minute that is counted in part grows, and then stays", async () => {
    simulator.virtualClock.advance(minutes(5) + 160_000);
    const fifth = async () =>
      (await metrics())[0]?.data.find(({ timeStamp }) => timeStamp.includes("08:04"))?.total ?? 0;
    const part = await fifth();
    simulator.virtualClock.advance(minutes(2));
    const whole = await fifth();
    simulator.virtualClock.advance(minutes(5));
    expect(part).toBeGreaterThan(0);
    expect(whole).toBeGreaterThan(part);
    expect(await fifth()).toBe(whole);
  });

  test("without metrics, the response has no time series", async () => {
    simulator.virtualClock.advance(minutes(20));
    simulator.options.hasMetrics = false;
    expect(await metrics()).toEqual([]);
  });

  test("logs count slow requests by revision, minutes late, and reject other KQL", async () => {
    await traffic(pinned);
    await patch(templateOf("registry.example/welcome:2.0.0-slow", "two"));
    simulator.virtualClock.advance(minutes(1));
    await traffic([
      { revisionName: live, weight: 50 },
      { revisionName: "welcome--two", weight: 50 },
    ]);
    const from = simulator.virtualClock.now();
    simulator.virtualClock.advance(minutes(12));
    const query = `ContainerAppHTTPLogs
      | where TimeGenerated >= datetime(${new Date(from).toISOString()}) and ContainerAppName == "${app}"
      | where not(Authority startswith "welcome---")
      | summarize total = count(), slow = countif(RequestDuration > 500) by RevisionName`;
    const { tables } = (await post(query)) as { tables: { columns: unknown[]; rows: [string, number, number][] }[] };
    expect(tables[0]?.columns).toEqual([
      { name: "RevisionName", type: "string" },
      { name: "total", type: "long" },
      { name: "slow", type: "long" },
    ]);
    const shares = tables[0]?.rows.map(([name, total, slow]) => [name, slow / total]);
    expect(shares).toEqual([
      [live, 0],
      ["welcome--two", expect.closeTo(0.3, 1)],
    ]);
    await expect(post("ContainerAppHTTPLogs | take 10")).rejects.toThrow(/400.*does not read/);
  });

  async function post(query: string): Promise<unknown> {
    const { token } = await signIn("https://api.loganalytics.io/.default");
    const response = await fetch(`${served.logsUrl}/v1/workspaces/${workspaceId}/query`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return response.json();
  }
});

describe("its faults", () => {
  const write = () => client.containerApps.update(groupName, app, { location: "", tags: { written: "yes" } });
  /** Makes the next write fail, and tells whether it had an effect. */
  async function failWith(fault: (typeof faults)["busy"]) {
    simulator.options.intercept = ({ method }) => (method === "PATCH" ? fault : undefined);
    const error: unknown = await write().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { error, hasEffect: simulator.app.wanted.tags.written === "yes" };
  }

  test.each([
    ["busy", faults.busy, 409, false],
    ["busy in a text", faults.busyInText, 400, false],
    ["throttled", faults.throttled(7), 429, false],
    ["unavailable", faults.unavailable, 503, false],
    ["failed after the effect", faults.failedAfter, 500, true],
    ["expired", faults.expired, 401, false],
  ])("%s", async (_, fault, statusCode, hasEffect) => {
    expect(await failWith(fault)).toMatchObject({ error: { statusCode }, hasEffect });
  });

  test.each([
    ["a lost request has no effect", faults.lost, false],
    ["a lost response follows the effect", faults.lostAfter, true],
  ])("%s", async (_, fault, hasEffect) => {
    expect(await failWith(fault)).toMatchObject({
      error: { code: expect.stringMatching(/ECONNRESET|SEND_ERROR/) },
      hasEffect,
    });
  });

  test("a test sees each request before and after its effect", async () => {
    const seen: string[] = [];
    simulator.options.onRequest = (moment, { kind, method }) => {
      seen.push(`${moment} ${method} ${kind}: ${simulator.app.wanted.tags.written ?? "no"}`);
    };
    await patch({}, { written: "yes" });
    expect(seen.slice(0, 3)).toEqual(["before PATCH app: no", "after PATCH app: yes", "before GET operation: yes"]);
  });

  test("a stuck operation keeps the app busy until the switch is off", async () => {
    simulator.app.switches.isStuck = true;
    void write().catch(() => {});
    await vi.waitFor(() => expect(simulator.app.isBusy()).toBe(true), 10_000);
    simulator.virtualClock.advance(3_600_000);
    expect(await read()).toMatchObject({ provisioningState: "InProgress" });
    simulator.app.switches.isStuck = false;
    expect(await read()).toMatchObject({ provisioningState: "Succeeded" });
  });

  test("a write that Azure takes back is shown until its operation has failed", async () => {
    simulator.app.switches.takesBack = true;
    void write().catch(() => {});
    await vi.waitFor(async () => expect((await read()).tags).toEqual({ written: "yes" }), 10_000);
    simulator.virtualClock.advance(10_000);
    expect(await read()).toMatchObject({ provisioningState: "Failed", tags: {} });
  });

  test("a failed app can reject changes without a template, until one with a template succeeds", async () => {
    simulator.app.switches.rejectsWhenFailed = true;
    await expect(patch(templateOf("registry.example/welcome:2.0.0-no-image", "two"))).rejects.toThrow("MANIFEST");
    await expect(write()).rejects.toMatchObject({ statusCode: 400, code: "ResourceNotProvisioned" });
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    simulator.options.requestTime = 2_000;
    expect((await write()).tags).toEqual({ written: "yes" });
  });

  test("weights that are not applied are shown, and the split stays", async () => {
    await traffic(pinned);
    await patch(templateOf("registry.example/welcome:2.0.0", "two"));
    simulator.app.switches.keepsWeights = true;
    const table = [
      { revisionName: live, weight: 50 },
      { revisionName: "welcome--two", weight: 50 },
    ];
    expect((await traffic(table)).configuration?.ingress?.traffic).toEqual(table);
    expect(simulator.weights()).toEqual({ [live]: 100 });
  });

  test("a stale read shows the past, and the header Date the skewed time of Azure", async () => {
    await read();
    simulator.options.staleness = 30;
    simulator.writeAs({ tags: { written: "yes" } });
    expect((await read()).tags).toEqual({});
    simulator.virtualClock.advance(30_000);
    expect((await read()).tags).toEqual({ written: "yes" });
    simulator.options.skew = 90_000;
    let date = "";
    await client.containerApps.get(groupName, app, {
      onResponse: ({ headers }) => {
        date = headers.get("date") ?? "";
      },
    });
    expect(Date.parse(date)).toBe(Math.floor((simulator.virtualClock.now() + 90_000) / 1_000) * 1_000);
  });
});

async function get(url: string): Promise<unknown> {
  const { token } = await signIn("https://management.azure.com/.default");
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
}
