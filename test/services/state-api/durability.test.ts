import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freeze } from "../../support/freeze.ts";
import { type Process, sqliteResources, startService, startSidecar } from "../../support/processes.ts";
import { sendAll } from "../../support/state-api.ts";

const WRITES = 10_000;
const WRITERS = 32;

describe("acknowledged writes", () => {
  const local = sqliteResources();
  const dispatcher = new Agent({ connections: WRITERS });
  let sidecar: Process;
  let service: Process;
  beforeAll(async () => {
    sidecar = await startSidecar({
      resources: [local.folder],
      config: "components/local/config.yaml",
    });
    service = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_TIMEOUT_MS: "20000",
      LOG_LEVEL: "fatal",
    });
  });
  afterAll(async () => {
    await service.end();
    await sidecar.end();
    await dispatcher.close();
    local.remove();
  });

  const ask = async (method: "POST" | "PUT", path: string, body: unknown) => {
    const response = await request(service.origin + path, {
      method,
      dispatcher,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.statusCode, body: await response.body.text() };
  };

  test("10,000 acknowledged writes are all stored after kill -9 and restart of service and sidecar", {
    timeout: 120_000,
  }, async () => {
    const acknowledged: string[] = [];
    let next = 0;
    let failed = 0;
    const write = async () => {
      while (acknowledged.length < WRITES) {
        const key = `w${next++}~`; // names its own partition; a transaction requires one
        const way = next % 3;
        const response = await (way === 0
          ? ask("PUT", `/state/${key}`, { key })
          : way === 1
            ? ask("POST", "/state", { key, data: { key } })
            : ask("POST", "/state/transaction", { operations: [{ operation: "upsert", key, data: { key } }] })
        ).catch(() => ({ status: 0 }));
        if (response.status === 200 || response.status === 204) acknowledged.push(key);
        else {
          failed++;
          await sleep(20);
        }
      }
    };
    const reached = async (share: number) => {
      while (acknowledged.length < WRITES * share) await sleep(5);
    };
    const kill = async () => {
      await reached(0.2);
      await service.end("SIGKILL");
      service = await service.restart();
      await reached(0.4);
      await sidecar.end("SIGKILL");
      sidecar = await sidecar.restart();
      await reached(0.6);
      await service.end("SIGTERM");
      service = await service.restart();
      await reached(0.8);
      await sidecar.end("SIGTERM");
      sidecar = await sidecar.restart();
    };
    await Promise.all([kill(), ...Array.from({ length: WRITERS }, write)]);
    expect(failed).toBeGreaterThan(0); // otherwise the kills hit nothing

    const missing: string[] = [];
    for (let at = 0; at < acknowledged.length; at += 100) {
      const keys = acknowledged.slice(at, at + 100);
      const items: { key: string; data?: { key: string } }[] = JSON.parse(
        (await ask("POST", "/state/bulk", { keys })).body,
      );
      missing.push(...items.filter(({ key, data }) => data?.key !== key).map(({ key }) => key));
    }
    expect(missing).toEqual([]);
    console.log(`${acknowledged.length} writes acknowledged, ${failed} failed during four kills, none lost`);
  });

  test("under overload, 20 writes wait and are stored; 480 get 503 with Retry-After at once and change nothing", async () => {
    const small = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_MAX_PENDING: "20",
      STATESTORE_TIMEOUT_MS: "20000",
      LOG_LEVEL: "fatal",
    });
    await freeze(sidecar.pid);
    const write = async (index: number) => {
      const { statusCode, headers, body } = await request(`${small.origin}/state/o${index}`, {
        method: "PUT",
        dispatcher: new Agent(),
        headers: { "content-type": "application/json" },
        body: String(index),
      });
      const answer = { statusCode, retryAfter: headers["retry-after"], text: await body.text() };
      answered.push({ index, ...answer });
    };
    const answered: { index: number; statusCode: number; retryAfter?: unknown; text: string }[] = [];
    const all = Promise.all(Array.from({ length: 500 }, (_, index) => write(index)));
    await expect.poll(() => answered.length, { timeout: 15_000 }).toBe(480);
    const refused = new Set(answered.map(({ index }) => index));
    for (const answer of answered) {
      expect(answer).toMatchObject({ statusCode: 503, retryAfter: "1", text: expect.stringContaining("Nothing was") });
    }
    process.kill(sidecar.pid, "SIGCONT");
    await all;
    expect(answered.slice(480).map(({ statusCode }) => statusCode)).toEqual(Array(20).fill(204));
    for (let from = 0; from < 500; from += 100) {
      const indices = Array.from({ length: 100 }, (_, offset) => from + offset);
      const items = JSON.parse((await ask("POST", "/state/bulk", { keys: indices.map((index) => `o${index}`) })).body);
      const values = indices.map((index) => (refused.has(index) ? undefined : index));
      expect(items.map(({ data }: { data?: number }) => data)).toEqual(values);
    }
    expect(await small.end()).toBe(0);
  });
});

describe("SIGTERM", () => {
  /** Starts a sidecar that holds the responses to writes until `release`, which a real one does not do on demand. */
  async function startHoldingSidecar() {
    const saved = new Set<string>();
    const asked = { times: 0 };
    const released = Promise.withResolvers<void>();
    const server = createServer(async (req, res) => {
      if (req.url === "/v1.0/healthz/outbound") return res.writeHead(204).end();
      if (req.url === "/v1.0/metadata") {
        const component = { name: "statestore", type: "state.sqlite" };
        return res.end(JSON.stringify({ id: "state-api", components: [component] }));
      }
      let body = "";
      for await (const chunk of req) body += chunk;
      asked.times++;
      await released.promise;
      const sent = JSON.parse(body); // of a single save, or of a transaction
      const items = sent.operations?.map(({ request }: { request: { key: string } }) => request) ?? sent;
      for (const { key, value } of items) saved.add(`${key} ${value}`);
      return res.writeHead(204).end();
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    const close = () => {
      server.closeAllConnections();
      server.close();
    };
    return { origin: `http://127.0.0.1:${port}`, asked, saved, release: () => released.resolve(), close };
  }
  const write = (key: string, body: number) => ({ method: "PUT", path: `/state/${key}`, body }) as const;

  test("finishes requests in flight and waiting, accepts no new connection, and exits 0", async () => {
    const sidecar = await startHoldingSidecar();
    const service = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_TIMEOUT_MS: "20000",
    });
    const inFlight = Array.from({ length: 300 }, (_, index) => write(`k${index}`, 1));
    const waiting = Array.from({ length: 20 }, (_, index) => write("k0", index + 2)); // for the first write to k0
    const sent = [...(await sendAll(service.origin, inFlight)), ...(await sendAll(service.origin, waiting))];
    const exit = service.end("SIGTERM");
    await expect.poll(service.output).toContain("draining");
    // Uses a new connection, because an open one may carry another response before it closes.
    await expect(request(`${service.origin}/healthz`, { dispatcher: new Agent() })).rejects.toThrow("ECONNREFUSED");
    expect(sidecar.saved.size).toBe(0);
    sidecar.release();
    const statuses = await Promise.all(sent.map(({ status }) => status));
    expect(statuses).toEqual(Array(320).fill(204));
    expect(await exit).toBe(0);
    expect(sidecar.saved.size).toBe(320);
    sidecar.close();
  });

  test("exits 1 when draining takes longer than SHUTDOWN_TIMEOUT_MS", async () => {
    const sidecar = await startHoldingSidecar();
    const service = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_TIMEOUT_MS: "20000",
      SHUTDOWN_TIMEOUT_MS: "200",
    });
    const [cut] = await sendAll(service.origin, [write("k", 1)]);
    await expect.poll(() => sidecar.asked.times).toBe(1);
    expect(await service.end("SIGTERM")).toBe(1);
    expect(sidecar.saved.size).toBe(0); // it did not wait for the response
    expect(service.output()).toMatch(/requests still in flight after SHUTDOWN_TIMEOUT_MS \(200 ms\).*shutdown failed/);
    expect(await cut?.status).toBeUndefined();
    sidecar.close();
  });
});
