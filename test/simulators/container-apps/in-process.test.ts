// The simulator without HTTP behaves as the one behind HTTPS.
import tls from "node:tls";
import { afterAll, describe, expect, test } from "vitest";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { createResourceManager } from "../../../tools/release/azure/resource-manager.ts";
import { faults } from "./faults.ts";
import { createAzure } from "./in-process.ts";
import { steady } from "./requests.ts";
import { createProbe } from "./routing.ts";
import { serveSimulator } from "./serve.ts";
import { createSimulator, groupName, subscriptionId, workspaceId } from "./simulator.ts";

const { ca } = await loadKeys();
tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);

const simulator = createSimulator({ mode: "Multiple", workload: steady({ perSecond: 10, errors: 0.1 }) });
const served = await serveSimulator(simulator);
afterAll(() => served.close());

async function getToken(): Promise<string> {
  const { IDENTITY_ENDPOINT, IDENTITY_HEADER = "" } = served.env;
  // The stand-in issues no token for two resources, and both parts of the simulator take one for Log Analytics.
  const url = `${IDENTITY_ENDPOINT}?api-version=2019-08-01&resource=https://api.loganalytics.io`;
  const response = await fetch(url, { headers: { "X-IDENTITY-HEADER": IDENTITY_HEADER } });
  return ((await response.json()) as { access_token: string }).access_token;
}
const remote = createResourceManager({
  target: { subscription: subscriptionId, resourceGroup: groupName, app: "welcome" },
  origin: served.azure.httpsUrl,
  getToken,
  logs: { origin: served.logsUrl, getToken, workspace: workspaceId },
  clock: simulator.clock,
});
const local = createAzure(simulator);
const live = "welcome--0000001";

describe("the release tool's view of Azure in the process", () => {
  test("shows the same app, replicas and counts as over HTTPS", async () => {
    simulator.virtualClock.advance(20 * 60_000);
    const to = simulator.clock.now();
    const from = to - 15 * 60_000;
    expect(await local.readApp()).toEqual(await remote.readApp());
    expect(await local.readReplicas(live)).toEqual(await remote.readReplicas(live));
    expect(await local.countErrors(from, to)).toEqual(await remote.countErrors(from, to));
    expect(await local.countSlow(from, to, 0.5)).toEqual(await remote.countSlow(from, to, 0.5));
    expect((await local.countErrors(from, to)).get(live)?.total).toBeGreaterThan(3_000);
    expect(local.now()).toBe(remote.now());
  });

  test.each([
    ["busy", faults.busy, "busy"],
    ["busy in a text", faults.busyInText, "busy"],
    ["throttled", faults.throttled(9), "busy"],
    ["unavailable", faults.unavailable, "unreachable"],
    ["lost", faults.lost, "unreachable"],
    ["lost after the effect", faults.lostAfter, "unreachable"],
    ["denied", faults.denied, "denied"],
  ])("rejects a write that is %s with the same kind of fault as over HTTPS", async (_, fault, kind) => {
    simulator.options.intercept = ({ method }) => (method === "PATCH" ? fault : undefined);
    for (const azure of [local, remote]) {
      await expect(azure.patch({ tags: {} })).rejects.toMatchObject({ kind });
      simulator.virtualClock.advance(10_000);
    }
    simulator.options.intercept = undefined;
  });

  test("says as over HTTPS why a change failed", async () => {
    const [container] = simulator.app.wanted.template.containers;
    const missing = "registry.example/welcome:2.0.0-no-image";
    const template = { revisionSuffix: "no", containers: [{ name: "welcome", ...container, image: missing }] };
    const before = simulator.app.wanted;
    for (const azure of [local, remote]) {
      await azure.readApp();
      await azure.patch({ template });
      simulator.virtualClock.advance(20_000);
      expect((await azure.readApp()).failure).toMatch(/^Invalid value: "registry\S+-no-image": .*MANIFEST_UNKNOWN/);
    }
    await remote.patch({ template: before.template });
    simulator.virtualClock.advance(20_000);
    expect((await remote.readApp()).failure).toBeUndefined();
  });

  test("a client that is killed gets no response to the request that is under way", async () => {
    const controller = new AbortController();
    const killed = createAzure(simulator, controller.signal);
    simulator.options.onRequest = (moment) => {
      if (moment === "after") controller.abort();
    };
    let ended = false;
    void killed.patch({ tags: { written: "yes" } }).finally(() => {
      ended = true;
    });
    await new Promise(setImmediate);
    simulator.options.onRequest = undefined;
    expect(ended).toBe(false);
    expect(simulator.app.wanted.tags).toEqual({ written: "yes" });
    simulator.virtualClock.advance(10_000);
  });

  test("a probe reaches the live revision, a label only when it is in force, and a revision when it is ready", async () => {
    const probe = createProbe(simulator);
    const at = (host: string) => probe(`https://${host}.example/`);
    await local.readApp();
    await local.patch({ traffic: [{ revision: live, weight: 100, label: "blue" }] });
    expect(await at("welcome")).toMatchObject({ status: 200, body: expect.stringContaining("Hello") });
    expect(await at("welcome---blue")).toMatchObject({ status: 404 });
    simulator.virtualClock.advance(10_000);
    expect(await at("welcome---blue")).toMatchObject({ status: 200 });
    await local.readApp();
    const [container] = simulator.app.wanted.template.containers;
    await local.patch({
      template: { revisionSuffix: "two", containers: [{ name: "welcome", ...container, image: "r.example/w:2" }] },
    });
    expect(await at("welcome--two")).toMatchObject({ status: 503 });
    simulator.virtualClock.advance(60_000);
    expect(await at("welcome--two")).toMatchObject({ status: 200 });
  });
});
