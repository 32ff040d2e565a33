import { once } from "node:events";
import { Agent, createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterEach, describe, expect, test } from "vitest";
import { createApp } from "../../../services/state-api/app.ts";
import { coalesce } from "../../../services/state-api/batching/coalesce.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";
import { createDaprStore } from "../../../services/state-api/dapr-store.ts";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

/** As many as the adapter opens to the sidecar. */
const CONNECTIONS = 64;

/** Sends a request; `status` is null when it breaks. */
type Send = (
  method: string,
  path: string,
  options?: { headers?: object; body?: unknown },
) => { status: Promise<number | null>; leave(): void };

/**
 * Serves the app on a sidecar that records what arrives, and holds requests for keys named `held…` until `release` is
 * called. `timeoutMs` is how long callers of `send` wait. The adapter waits longer for what it has sent, except for a
 * write to Cosmos DB: only 500 ms. So the tests hold reads.
 */
async function serve(storeType: string, timeoutMs: number) {
  const held: ServerResponse[] = [];
  const arrived: string[] = [];
  let isHolding = true;
  const sidecar = createServer(async (req, res) => {
    let body = "";
    for await (const chunk of req) body += chunk;
    if (req.url === "/v1.0/metadata") {
      const component = { name: "statestore", type: storeType };
      res.end(JSON.stringify({ id: "state-api", components: [component] }));
      return;
    }
    const text = `${req.method} ${req.url} ${body}`;
    arrived.push(text);
    if (isHolding && text.includes("held")) held.push(res);
    else res.writeHead(204).end();
  }).listen(0, "127.0.0.1");
  await once(sidecar, "listening");
  const origin = `http://127.0.0.1:${(sidecar.address() as AddressInfo).port}`;
  const sent: string[] = [];
  const store = createDaprStore({
    origin,
    storeName: "statestore",
    requestTimeoutMs: 20_000,
    observe: (operation) => sent.push(operation),
  });
  const waiting = { requests: 0, batched: 0 };
  const batching = coalesce(store, { maxPending: 1_000, observe: (_operation, size) => (waiting.batched += size) });
  const counting = new Proxy(batching, {
    get(target, name, receiver) {
      waiting.requests++;
      return Reflect.get(target, name, receiver);
    },
  });
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  cleanUp.push(
    () => sidecar.close(),
    () => sidecar.closeAllConnections(),
    () => store.close(),
    () => agent.destroy(),
  );

  /** Serves the app, and returns the function that sends it a request. */
  async function open(register: Registry, timeoutMs: number): Promise<Send> {
    const config = readStateApiConfig({ STATESTORE_TIMEOUT_MS: `${timeoutMs}` }, []);
    const app = createApp({ store: counting, config, log: pino({ level: "silent" }), register, ready: store.ready });
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    cleanUp.push(
      () => server.close(),
      () => server.closeAllConnections(),
    );
    return (method, path, { headers = {}, body } = {}) => {
      const type = body === undefined ? {} : { "Content-Type": "application/json" };
      const outgoing = request({ port, agent, method, path, headers: { ...type, ...headers } });
      const status = new Promise<number | null>((resolve) => {
        outgoing.on("error", () => resolve(null));
        outgoing.on("response", (res) => res.resume().on("end", () => resolve(res.statusCode ?? null)));
      });
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
      return { status, leave: () => outgoing.destroy() };
    };
  }
  const register = new Registry();
  const send = await open(register, timeoutMs);
  const sendBriefly = await open(new Registry(), 50);
  const release = () => {
    isHolding = false;
    for (const res of held) res.writeHead(204).end();
  };
  const count = async (status: number) => {
    const text = await register.metrics();
    const lines = text.matchAll(RegExp(`^http_request_duration_seconds_count\\{.*status="${status}"\\} (\\d+)$`, "gm"));
    return [...lines].reduce((sum, [, number]) => sum + Number(number), 0);
  };
  // Afterwards the adapter knows the type of the store.
  await expect.poll(() => send("GET", "/state/first").status, { timeout: 10_000 }).toBe(404);
  arrived.length = 0;
  sent.length = 0;
  Object.assign(waiting, { requests: 0, batched: 0 });
  return { send, sendBriefly, arrived, sent, release, count, waiting };
}

/** One request for each key, which the sidecar receives as a read of that key. */
const readAll = (send: Send, name: string) =>
  Array.from({ length: CONNECTIONS }, (_, index) =>
    send("POST", "/state/bulk", { body: { keys: [`${name}${index}`] } }),
  );
/** A request of each kind, for keys that begin with `name`. */
const sendEachKind = (send: Send, name: string) => [
  send("PUT", `/state/${name}-put`, { body: 1 }),
  send("PUT", `/state/${name}-put2`, { body: 1 }),
  send("PUT", `/state/${name}-create`, { body: 1, headers: { "If-None-Match": "*" } }),
  send("PUT", `/state/${name}-match`, { body: 1, headers: { "If-Match": "*" } }),
  send("POST", "/state", { body: { key: `${name}-post`, data: 1 } }),
  send("DELETE", `/state/${name}-delete`),
  send("POST", "/state/transaction", { body: { operations: [{ operation: "delete", key: `${name}~t` }] } }),
  send("GET", `/state/${name}-get`),
  send("POST", "/state/bulk", { body: { keys: [`${name}-bulk1`, `${name}-bulk2`] } }),
];

describe.each(["state.sqlite", "state.azure.cosmosdb"])("waiting requests (%s)", (type) => {
  test("never reach the sidecar when their callers leave before one of its 64 connections is free; others do", async () => {
    const { send, arrived, release, count, waiting } = await serve(type, 10_000);
    const holding = readAll(send, "held");
    await expect.poll(() => arrived.length).toBe(CONNECTIONS);
    const leaving = sendEachKind(send, "left");
    const staying = [
      send("PUT", "/state/stays", { body: 1, headers: { "If-None-Match": "*" } }),
      send("DELETE", "/state/stays-too"),
    ];
    const requests = CONNECTIONS + leaving.length + staying.length;
    await expect.poll(() => waiting.requests).toBe(requests);
    if (type === "state.sqlite") await expect.poll(() => waiting.batched).toBe(4); // they no longer gather
    for (const { leave } of leaving) leave();
    await expect.poll(() => count(499)).toBe(leaving.length);
    release();
    for (const { status } of holding) expect(await status).toBe(200);
    const [created, deleted] = await Promise.all(staying.map(({ status }) => status));
    // A write to Cosmos DB gets 503 when the machine pauses for more than 500 ms.
    const paused = type === "state.sqlite" ? [] : [503];
    expect([201, ...paused]).toContain(created);
    expect([204, ...paused]).toContain(deleted);
    // The connections serve requests in the order of arrival: after these, none of the earlier ones waits.
    for (const { status } of readAll(send, "after")) expect(await status).toBe(200);
    expect(arrived.filter((text) => text.includes("left"))).toEqual([]);
    expect(arrived.filter((text) => text.includes("stays")).length).toBeGreaterThanOrEqual(staying.length);
  });

  test("never reach the sidecar after their 503, when they waited for one of its 64 connections", async () => {
    const { send, sendBriefly, arrived, release } = await serve(type, 10_000);
    const holding = readAll(send, "held");
    await expect.poll(() => arrived.length).toBe(CONNECTIONS);
    for (const { status } of sendEachKind(sendBriefly, "late")) expect(await status).toBe(503);
    release();
    for (const { status } of [...holding, ...readAll(send, "after")]) expect(await status).toBe(200);
    expect(arrived.filter((text) => text.includes("late"))).toEqual([]);
  });

  test("never reach the sidecar after their 503, when they waited for another change of their key", async () => {
    const { send, arrived, sent, release } = await serve(type, 250);
    const creation = { "If-None-Match": "*" }; // which begins with a read
    const holding = send("PUT", "/state/held", { body: "first", headers: creation });
    const late = [
      send("PUT", "/state/held", { body: "late" }),
      send("DELETE", "/state/held"),
      send("PUT", "/state/held", { body: "late", headers: creation }),
    ];
    for (const { status } of [holding, ...late]) expect(await status).toBe(503);
    release();
    const write = () => send("PUT", "/state/held", { body: "after" }).status;
    await expect.poll(write, { timeout: 10_000 }).toBe(204);
    expect(arrived.filter((text) => !text.includes("after"))).toEqual([expect.stringMatching(/^GET \S+\/held\?? $/)]);
    expect(sent.filter((operation) => operation !== "save")).toEqual(["get"]);
  });
});
