// Revisions run as processes of welcome, and real requests reach them by weight and label.
import { once } from "node:events";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import tls from "node:tls";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { type DataPlane, startDataPlane } from "./data-plane.ts";
import { loadIngressKeys } from "./keys.ts";
import "./localhost.mjs";
import { createPool, type ProcessPool } from "./processes.ts";
import type { SimulatorOptions } from "./simulator.ts";

const { ca } = await loadIngressKeys();
tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);

const pool = createPool({ keeps: true });
let plane: DataPlane;
const live = "welcome--0000001";
const two = "welcome--two";

async function start(options: SimulatorOptions = {}, own: ProcessPool = pool): Promise<void> {
  plane = await startDataPlane({
    mode: "Multiple",
    env: [{ name: "WELCOME", value: "Hello 1" }],
    pool: own,
    ...options,
  });
}
const get = async (host: string, path = "/") => {
  const response = await fetch(`https://${host}.${plane.domain}${path}`);
  return { status: response.status, body: await response.text() };
};
/** Writes a second revision with this image. */
function add(image: string): void {
  const container = { name: "welcome", image, env: [{ name: "WELCOME", value: "Hello 2" }] };
  plane.simulator.writeAs({ properties: { template: { revisionSuffix: "two", containers: [container] } } });
}
function setTraffic(weight: number): void {
  const traffic = [
    { revisionName: live, weight: 100 - weight, label: "blue" },
    { revisionName: two, weight, label: "green" },
  ];
  plane.simulator.writeAs({ properties: { configuration: { ingress: { traffic } } } });
}
/** Makes revision two ready. */
const wait = () => plane.simulator.virtualClock.advance(60_000);
async function countStatuses(total: number, path = "/") {
  const statuses = new Map<number, number>();
  for (let index = 0; index < total; index++) {
    const { status } = await get("welcome", path);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  return statuses;
}

beforeEach(async () => {
  await start();
  plane.simulator.writeAs({
    properties: { configuration: { ingress: { traffic: [{ revisionName: live, weight: 100, label: "blue" }] } } },
  });
});
afterEach(() => plane.close());
afterAll(() => pool.close());

describe("the data plane", () => {
  test("the app's address, labels and suffixes reach the processes of their revisions", async () => {
    add("registry.example/welcome:2.0.0");
    setTraffic(0);
    wait();
    expect(await get("welcome")).toEqual({ status: 200, body: "Hello 1" });
    expect(await get("welcome---green")).toEqual({ status: 200, body: "Hello 2" });
    expect(JSON.parse((await get(two, "/api/version")).body)).toMatchObject({ message: "Hello 2", version: two });
    expect((await get("welcome---red")).status).toBe(404);
  });

  test("each request is split by the weights, and counted for the revision that served it", async () => {
    add("registry.example/welcome:2.0.0");
    wait();
    setTraffic(25);
    const bodies: string[] = [];
    for (let index = 0; index < 200; index++) bodies.push((await get("welcome")).body);
    const share = bodies.filter((body) => body === "Hello 2").length / 200;
    expect(share).toBeGreaterThan(0.15);
    expect(share).toBeLessThan(0.35);
    const { requests, clock } = plane.simulator;
    const rows = requests.inMinute(Math.floor(clock.now() / 60_000) * 60_000);
    const served = rows.filter(({ revision }) => revision === two).reduce((sum, { count }) => sum + count, 0);
    expect(served).toBe(share * 200);
  });

  test("users send requests while a runner sleeps, and each virtual minute has its requests", async () => {
    const { virtualClock, requests } = plane.simulator;
    const start = virtualClock.now();
    virtualClock.whilePassing = async (from, to) => {
      for (let at = from; at < to; at += 5_000) await get("welcome");
    };
    for (let minute = 0; minute < 3; minute++) await virtualClock.sleep(60_000);
    expect(virtualClock.now()).toBe(start + 180_000);
    const rows = [0, 1, 2].flatMap((minute) => requests.inMinute(Math.floor(start / 60_000 + minute) * 60_000));
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(36);
  });

  test("a revision that is not ready gets its share of the requests, which then get 503", async () => {
    add("registry.example/welcome:2.0.0-never-ready");
    setTraffic(100);
    wait();
    expect((await get("welcome")).status).toBe(503);
    setTraffic(0);
    expect((await get("welcome")).status).toBe(200);
  });

  test("a revision with another port than that of the ingress is never ready, and takes no process of another", async () => {
    const env = [
      { name: "WELCOME", value: "Hello 2" },
      { name: "PORT", value: "8082" },
    ];
    const container = { name: "welcome", image: "registry.example/welcome:2.0.0", env };
    plane.simulator.writeAs({ properties: { template: { revisionSuffix: "two", containers: [container] } } });
    setTraffic(0);
    wait();
    expect((await get("welcome---green")).status).toBe(503);
    expect((await get("welcome")).body).toBe("Hello 1");
  });

  test("a process gets no PORT of its revision, because all processes share the ports of this computer", async () => {
    const taken: Readonly<Record<string, string>>[] = [];
    const take: ProcessPool["take"] = (service, env) => {
      taken.push(env);
      return pool.take(service, env);
    };
    await plane.close();
    await start({ env: [{ name: "PORT", value: "8080" }] }, { ...pool, take });
    expect((await get("welcome")).status).toBe(200);
    expect(taken).toEqual([expect.not.objectContaining({ PORT: expect.anything() })]);
  });

  test("an image whose tag has an end that names no behavior does not exist", () => {
    add("registry.example/welcome:2.0.0-erors");
    wait();
    expect(plane.simulator.app.revisions.map(({ name }) => name)).toEqual([live]);
  });

  test("the image errors answers users with errors, and tests at its label before without", async () => {
    add("registry.example/welcome:2.0.0-errors");
    setTraffic(0);
    wait();
    for (let index = 0; index < 20; index++) expect((await get("welcome---green")).status).toBe(200);
    setTraffic(100);
    const bad = (await countStatuses(200)).get(500) ?? 0;
    expect(bad).toBeGreaterThan(20);
    expect(bad).toBeLessThan(65);
    expect(await countStatuses(20, "/readyz")).toEqual(new Map([[200, 20]]));
  });

  test("the image crash-at-100 serves 50 % of the traffic and crashes a minute after it has all of it", async () => {
    add("registry.example/welcome:2.0.0-crash-at-100");
    wait();
    setTraffic(50);
    wait();
    expect(await countStatuses(20)).toEqual(new Map([[200, 20]]));
    setTraffic(100);
    expect(await countStatuses(5)).toEqual(new Map([[200, 5]]));
    wait();
    expect(await countStatuses(5)).toEqual(new Map([[503, 5]]));
  });

  test("a request in flight survives that its revision loses the traffic and stops", async () => {
    const own = createPool({ keeps: false });
    await plane.close();
    // No sidecar listens on this port.
    await start({ env: [{ name: "DAPR_HTTP_PORT", value: "9" }] }, own);
    const [host, port] = plane.domain.split(":");
    const sent = request({
      host: `welcome.${host}`,
      port,
      path: "/api/state/order",
      method: "PUT",
      headers: { "Content-Type": "application/json", "Content-Length": 8, Expect: "100-continue" },
    });
    sent.write('{"a"');
    await once(sent, "continue"); // the ingress has chosen the revision
    // The process accepts connections in the order of their arrival.
    for (const _ of [1, 2]) expect((await get("welcome")).status).toBe(200);
    add("registry.example/welcome:2.0.0");
    wait();
    setTraffic(100);
    expect((await get("welcome")).body).toBe("Hello 2");
    plane.simulator.app.setActive(live, false);
    expect((await get(live)).status).toBe(503);
    const answered = once(sent, "response");
    sent.end(":1} ");
    const [response] = await answered;
    // Without a sidecar, welcome cannot store it, and says so itself: an ingress would send text.
    expect(JSON.parse(await text(response))).toMatchObject({ type: "urn:problem:no-sidecar" });
    await plane.drained();
  });
});
