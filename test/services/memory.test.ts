// Attacks the services from outside, as processes and through bare sockets, and reads their memory meanwhile.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { identityHeader } from "../../stand-ins/azure/defaults.ts";
import { sampleApplication, sampleUsers } from "../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { type Process, patience, sqliteResources, startService, startSidecar } from "../support/processes.ts";
import { measure } from "../support/stopwatch.ts";

const MIB = 1_048_576;
/** The memory of a container of the suite in Kubernetes. */
const CONTAINER_MIB = 256;
/** V8's own sizes in such a container: half of its memory for the heap, and the smallest space for new objects. */
const NODE_OPTIONS = "--max-old-space-size=128 --max-semi-space-size=1";

const { folder, remove } = sqliteResources();
let sidecar: Process;
let azure: Azure;
beforeAll(async () => {
  azure = await startAzure({});
  sidecar = await startSidecar({ resources: [folder] });
});
afterAll(async () => {
  await sidecar?.end();
  await azure?.close();
  remove();
});

async function start(
  name: string,
  sidecarOrigin = sidecar.origin,
  readyPath?: string,
  more: Record<string, string> = {},
): Promise<Process> {
  const env = { ...patience, ...more, NODE_OPTIONS, DAPR_HTTP_PORT: new URL(sidecarOrigin).port };
  const service = await startService(name, env, readyPath);
  onTestFinished(async () => void (await service.end("SIGKILL")));
  return service;
}

interface Attacker extends Socket {
  /** The beginning of what the service has sent. */
  received: string;
}

/** A connection that sends `bytes`. With `reads` false it never reads a response. */
function attack({ origin }: Process, bytes: string, reads = true): Attacker {
  const socket = Object.assign(connect({ port: Number(new URL(origin).port), host: "127.0.0.1" }), { received: "" });
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {}); // the service may close the connection
  if (reads) {
    socket.on("data", (chunk) => {
      if (socket.received.length < 1_000) socket.received += chunk.toString("latin1");
    });
  } else socket.pause();
  socket.write(bytes);
  return socket;
}

const head = (line: string, more = "") => `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}\r\n`;
const upload = (line: string, length: number, sent = length) =>
  `${head(line, `Content-Type: application/json\r\nContent-Length: ${length}\r\n`)}"${"x".repeat(sent - 2)}"`;

/** Memory of a process that the kernel cannot take back without ending it; Linux only. */
function memoryMiB({ pid }: Process): number {
  return Math.round(Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024);
}

/** The peak of the memory while `work` runs. */
async function peakMiB(service: Process, work: () => Promise<void>): Promise<number> {
  let peak = 0;
  const read = () => {
    peak = Math.max(peak, memoryMiB(service));
  };
  const timer = setInterval(read, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  read();
  return peak;
}

const json = { "Content-Type": "application/json" };
const get = ({ origin }: Process, path: string) => fetch(origin + path);
const put = ({ origin }: Process, path: string, body: string) =>
  fetch(origin + path, { method: "PUT", headers: json, body });
const bulk = ({ origin }: Process, keys: string[]) =>
  fetch(`${origin}/state/bulk`, { method: "POST", headers: json, body: JSON.stringify({ keys }) });
const probeSucceeds = (service: Process) =>
  expect.poll(() => get(service, "/healthz").then(({ status }) => status, String), { timeout: 10_000 }).toBe(200);

const mebibyte = JSON.stringify("x".repeat(MIB - 2));
const hundredKeys = Array.from({ length: 100 }, (_, index) => `large-${index}`);

/** A sidecar that responds to everything with `respond`. */
async function fakeSidecar(respond: RequestListener): Promise<string> {
  const server = createServer(respond).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("the memory of a service stays below that of its container", () => {
  test.each([
    ["state-api", "/state/stalled"],
    ["welcome", "/api/state/stalled"],
  ])(
    "while 500 uploads to %s stop before their last byte, and probes and small uploads succeed",
    async (name, path) => {
      const service = await start(name, name === "welcome" ? await fakeSidecar((_req, res) => res.end()) : undefined);
      const bytes = upload(`PUT ${path}`, MIB, MIB - 1);
      const peak = await peakMiB(service, async () => {
        const attackers = Array.from({ length: 500 }, () => attack(service, bytes));
        const refused = () => attackers.filter(({ received }) => received.startsWith("HTTP/1.1 503 "));
        await expect.poll(() => refused().length, { timeout: 50_000 }).toBeGreaterThan(450);
        await probeSucceeds(service);
        expect((await put(service, path, '"small"')).ok).toBe(true);
        expect(refused()[0]?.received).toMatch(/Retry-After: 1\r\n[\s\S]*urn:problem:overloaded/);
        await expect.poll(() => refused().filter(({ closed }) => !closed)).toEqual([]);
      });
      expect(peak).toBeLessThan(CONTAINER_MIB);
    },
  );

  test("while 100 values of 1 MiB are saved, read singly and read in bulk", async () => {
    const service = await start("state-api");
    const statuses = new Set<number>();
    const peak = await peakMiB(service, async () => {
      for (const key of hundredKeys) {
        await expect.poll(() => put(service, `/state/${key}`, mebibyte).then(({ status }) => status)).toBe(204);
      }
      await Promise.all(
        hundredKeys.flatMap((key) =>
          [put(service, `/state/${key}`, mebibyte), get(service, `/state/${key}`)].map(async (response) => {
            statuses.add((await response).status);
            await (await response).arrayBuffer();
          }),
        ),
      );
      const tooMany = await bulk(service, hundredKeys);
      expect(tooMany.status).toBe(422);
      expect(await tooMany.json()).toMatchObject({
        type: "urn:problem:response-too-large",
        detail: "Ask for fewer keys.",
      });
      const few = await bulk(service, hundredKeys.slice(0, 4));
      expect((await few.arrayBuffer()).byteLength).toBeGreaterThan(4 * MIB);
    });
    expect([...statuses].filter((status) => ![200, 204, 503].includes(status))).toEqual([]);
    expect(peak).toBeLessThan(CONTAINER_MIB);
  });

  test("while one value of 1 MiB is asked for 100 times in one bulk read, which returns 400", async () => {
    const service = await start("state-api");
    expect((await put(service, "/state/large", mebibyte)).status).toBe(204);
    const peak = await peakMiB(service, async () => {
      const response = await bulk(
        service,
        Array.from({ length: 100 }, () => "large"),
      );
      expect(response.status).toBe(400);
    });
    expect(peak).toBeLessThan(CONTAINER_MIB);
  });

  test("while 1 MiB of JSON that takes 20 times its size is saved 20 times at once", async () => {
    const service = await start("state-api");
    const hostile = `[${"{},".repeat(MIB / 3 - 2)}{}]`;
    const peak = await peakMiB(service, async () => {
      const responses = await Promise.all(Array.from({ length: 20 }, () => put(service, "/state/hostile", hostile)));
      expect(responses.map(({ status }) => status)).toContain(204);
    });
    expect(peak).toBeLessThan(CONTAINER_MIB);
  });

  test.each([
    ["state-api", "/state/large"],
    ["welcome", "/api/state/large"],
  ])("while 300 clients ask %s for a value of 4 MiB and do not read it", async (name, path) => {
    const value = JSON.stringify("x".repeat(4 * MIB - 2));
    const origin = await fakeSidecar((_req, res) => {
      res.setHeader("Content-Type", "application/json");
      res.end(value);
    });
    const service = await start(name, origin, "/healthz");
    const peak = await peakMiB(service, async () => {
      for (let i = 0; i < 300; i++) attack(service, head(`GET ${path}`), false);
      await sleep(3_000);
      await probeSucceeds(service);
    });
    expect(peak).toBeLessThan(CONTAINER_MIB);
  });

  test.each([
    ["state-api", "/state/endless", 500],
    ["welcome", "/api/state/endless", 502],
  ])("while the sidecar sends %s a response without end", async (name, path, status) => {
    const block = Buffer.alloc(MIB, " ");
    const origin = await fakeSidecar((_req, res) => {
      res.setHeader("Content-Type", "application/json");
      const send = () => {
        while (!res.closed && res.write(block));
        res.once("drain", send);
      };
      send();
    });
    const service = await start(name, origin, "/healthz");
    const peak = await peakMiB(service, async () => {
      const responses = await Promise.all(Array.from({ length: 10 }, () => get(service, path)));
      for (const response of responses) expect([status, 503]).toContain(response.status);
      expect(responses.map((response) => response.status)).toContain(status);
    });
    expect(peak).toBeLessThan(CONTAINER_MIB);
  });
});

describe("a client that pipelines", () => {
  const groups = () => ({
    AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
    IDENTITY_ENDPOINT: `${azure.url}/msi/token`,
    IDENTITY_HEADER: identityHeader,
    NODE_EXTRA_CA_CERTS: azure.caFile,
  });
  const signIn = () => ({
    SIGN_IN_CLIENT_ID: sampleApplication.clientId,
    SIGN_IN_TENANT_ID: azure.tenantId,
    SIGN_IN_AUTHORITY: azure.httpsUrl,
    NODE_EXTRA_CA_CERTS: azure.caFile,
  });
  /** A key of Entra ID, so that the service checks the signature. */
  const forged = () => `Authorization: Bearer ${azure.issueUserToken(sampleUsers[0]).split(".")[0]}.e30.AAAA\r\n`;
  const none = () => "";
  const nothing = () => ({});

  test.each([
    ["state-api", "", "/state/greeting", nothing, none],
    ["welcome", "", "/api/state/greeting", nothing, none],
    ["welcome", " with sign-in and forged tokens", "/api/state/greeting", signIn, forged],
    ["group-lister", "", "/groupz?details=true", groups, none],
    ["hello-wasm", "", "/", nothing, none],
  ])(
    "leaves %s%s within 256 MiB and its probe working, by many requests with and without Host, and by large ones",
    async (name, _how, path, env, header) => {
      // welcome would wait for a stalled sidecar longest; state-api refuses most calls then.
      const origin = name === "welcome" ? await fakeSidecar(() => {}) : sidecar.origin;
      const service = await start(name, origin, "/healthz", env());
      const small = head(`GET ${path}`, header()).repeat(20_000);
      const withoutHost = `GET ${path} HTTP/1.1\r\n\r\n`.repeat(20_000);
      const padding = Array.from({ length: 90 }, (_, index) => `x-${index}: ${"v".repeat(140)}\r\n`);
      const large = head(`GET ${path}`, header() + padding.join("")).repeat(2);
      const peak = await peakMiB(service, async () => {
        const attackers = Array.from({ length: 950 }, (_, i) => attack(service, i % 2 ? small : withoutHost, false));
        await sleep(3_000);
        await probeSucceeds(service);
        for (const attacker of attackers) attacker.destroy();
        for (let i = 0; i < 950; i++) attack(service, large, false);
        await sleep(2_000);
        await probeSucceeds(service);
      });
      expect(peak).toBeLessThan(CONTAINER_MIB);
    },
  );

  test("gets the responses to two requests at once; a third one closes the connection", async () => {
    const service = await start("welcome", undefined, "/healthz");
    const two = attack(service, head("GET /healthz").repeat(2));
    await expect.poll(() => two.received.match(/200 OK/g)).toHaveLength(2);
    expect(two.closed).toBe(false);
    const three = attack(service, head("GET /healthz").repeat(3));
    await expect.poll(() => three.closed).toBe(true);
  });

  test("is served with two requests in flight all the time", async () => {
    const stalling = await fakeSidecar((_req, res) => void setTimeout(() => res.end("{}"), 300));
    const service = await start("welcome", stalling, "/healthz");
    const slow = head("GET /api/state/greeting");
    const client = attack(service, head("GET /healthz") + slow);
    for (let responses = 0; responses < 4; responses++) {
      await expect.poll(() => client.received, { interval: 10 }).toMatch(/^HTTP\/1\.1 /);
      client.received = "";
      client.write(slow); // while the one before is being served
    }
    expect(client.closed).toBe(false);
  });

  test.each([
    ["a request to upgrade", "GET /", "Connection: upgrade\r\nUpgrade: websocket\r\n"],
    ["CONNECT", "CONNECT a.example:1", ""],
  ])("leaves no memory of its bodies behind when its last request is %s", async (_name, line, more) => {
    const service = await start("welcome", await fakeSidecar(() => {}), "/healthz");
    const path = "/api/state/stalled";
    const small = head(`GET ${path}`);
    for (let i = 0; i < 24; i++) attack(service, small + upload(`PUT ${path}`, MIB) + small + head(line, more));
    await sleep(1_000);
    const status = async () => (await put(service, path, mebibyte)).status;
    await expect.poll(status, { timeout: 15_000, interval: 500 }).toBe(504); // the sidecar's; 503: no memory
  });
});

describe("one client", () => {
  test("is served with 99 headers, and gets 431 for 100", async () => {
    const service = await start("welcome", undefined, "/healthz");
    const first = (count: number) => head("GET /healthz", "a: b\r\n".repeat(count - 1));
    const [served, refused] = [attack(service, first(99)), attack(service, first(100))];
    await expect.poll(() => served.received).toMatch(/^HTTP\/1\.1 200 /);
    await expect.poll(() => refused.received).toMatch(/^HTTP\/1\.1 431 /);
    await expect.poll(() => refused.closed).toBe(true);
  });

  test("gets 408 within 8 s when its headers stop, and within 13 s when its body stops", async () => {
    const service = await start("welcome", undefined, "/healthz");
    const timedOut = (bytes: string) =>
      measure(async () => {
        const attacker = attack(service, bytes);
        await expect.poll(() => attacker.closed, { timeout: 20_000, interval: 100 }).toBe(true);
        expect(attacker.received).toMatch(/^HTTP\/1\.1 408 /);
      });
    const [headers, body] = await Promise.all([
      timedOut("GET / HTTP/1.1\r\nHost: 127"),
      timedOut(upload("PUT /api/state/x", 100, 50)),
    ]);
    expect(headers).toBeLessThan(8_000);
    expect(body).toBeLessThan(13_000);
  });

  test("can keep 500 connections alive, and cannot open more than 1,000", async () => {
    const service = await start("welcome", undefined, "/healthz");
    const alive = Array.from({ length: 500 }, () => attack(service, head("GET /healthz")));
    const responses = () => alive.filter(({ received }) => received.endsWith("ok")).length;
    await expect.poll(responses, { timeout: 10_000 }).toBe(500);
    for (const connection of alive) connection.received = "";
    for (const connection of alive) connection.write(head("GET /healthz"));
    await expect.poll(() => alive.filter(({ received }) => received.endsWith("ok")).length).toBe(500);
    const more = Array.from({ length: 700 }, () => attack(service, ""));
    const closedAtOnce = () => more.filter(({ closed, received }) => closed && received === "").length;
    await expect.poll(closedAtOnce, { timeout: 10_000 }).toBeGreaterThanOrEqual(200);
    for (const connection of [...alive, ...more]) connection.destroy();
    await probeSucceeds(service);
  });
});
