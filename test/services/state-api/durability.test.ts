import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Process, sqliteResources, startService, startSidecar } from "../../support/processes.ts";

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

  test("under overload, rejected writes get 503 with Retry-After and acknowledged ones are stored", async () => {
    const small = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_MAX_PENDING: "20",
      LOG_LEVEL: "fatal",
    });
    const responses = await Promise.all(
      Array.from({ length: 500 }, async (_, index) => {
        const { statusCode, headers, body } = await request(`${small.origin}/state/o${index}`, {
          method: "PUT",
          headers: { "content-type": "application/json" },
          body: String(index),
        });
        await body.dump();
        return { key: `o${index}`, statusCode, retryAfter: headers["retry-after"] };
      }),
    );
    const refused = responses.filter(({ statusCode }) => statusCode === 503);
    expect(refused.length).toBeGreaterThan(0);
    for (const { retryAfter } of refused) expect(retryAfter).toBe("1");
    const kept = responses.filter(({ statusCode }) => statusCode === 204).map(({ key }) => key);
    expect(kept.length + refused.length).toBe(500);
    for (let at = 0; at < kept.length; at += 100) {
      const items = JSON.parse((await ask("POST", "/state/bulk", { keys: kept.slice(at, at + 100) })).body);
      expect(items.filter(({ found }: { found: boolean }) => !found)).toEqual([]);
    }
    expect(await small.end()).toBe(0);
  });
});

describe("SIGTERM", () => {
  /** Starts a sidecar that delays its responses, which a real one does not do on demand. */
  async function startSlowSidecar(milliseconds: number) {
    const saved = new Set<string>();
    const asked = { times: 0 };
    const server = createServer(async (req, res) => {
      if (req.url === "/v1.0/healthz/outbound") return res.writeHead(204).end();
      if (req.url === "/v1.0/metadata") {
        const component = { name: "statestore", type: "state.sqlite", capabilities: ["TRANSACTIONAL"] };
        return res.end(JSON.stringify({ id: "state-api", components: [component] }));
      }
      let body = "";
      for await (const chunk of req) body += chunk;
      asked.times++;
      await sleep(milliseconds);
      const sent = JSON.parse(body); // of a single save, or of a transaction
      const items = sent.operations?.map(({ request }: { request: { key: string } }) => request) ?? sent;
      for (const { key } of items) saved.add(key);
      return res.writeHead(204).end();
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    const close = () => {
      server.closeAllConnections();
      server.close();
    };
    return { origin: `http://127.0.0.1:${port}`, asked, saved, close };
  }

  test("finishes requests in flight and waiting, accepts no new connection, and exits 0", async () => {
    const sidecar = await startSlowSidecar(200);
    const service = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_TIMEOUT_MS: "20000",
    });
    const inFlight = Array.from({ length: 300 }, (_, index) =>
      fetch(`${service.origin}/state/k${index}`, {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: "1",
      }),
    );
    await expect.poll(() => sidecar.saved.size).toBeGreaterThan(0);
    const exit = service.end("SIGTERM");
    await expect.poll(service.output).toContain("draining");
    // Uses a new connection, because an open one may carry another response before it closes.
    await expect(request(`${service.origin}/healthz`, { dispatcher: new Agent() })).rejects.toThrow("ECONNREFUSED");
    const responses = await Promise.all(inFlight);
    expect(responses.filter(({ status }) => status === 204)).toHaveLength(300);
    expect(await exit).toBe(0);
    expect(sidecar.saved.size).toBe(300);
    sidecar.close();
  });

  test("exits 1 when draining takes longer than SHUTDOWN_TIMEOUT_MS", async () => {
    const sidecar = await startSlowSidecar(10_000);
    const service = await startService("state-api", {
      DAPR_HTTP_ENDPOINT: sidecar.origin,
      STATESTORE_TIMEOUT_MS: "20000",
      SHUTDOWN_TIMEOUT_MS: "200",
    });
    const headers = { "Content-Type": "application/json" };
    const cut = fetch(`${service.origin}/state/k`, { method: "PUT", headers, body: "1" }).catch(() => "cut");
    await expect.poll(() => sidecar.asked.times).toBe(1);
    expect(await service.end("SIGTERM")).toBe(1);
    expect(sidecar.saved.size).toBe(0); // it did not wait for the response
    expect(service.output()).toMatch(/requests still in flight after SHUTDOWN_TIMEOUT_MS \(200 ms\).*shutdown failed/);
    expect(await cut).toBe("cut");
    sidecar.close();
  });
});
