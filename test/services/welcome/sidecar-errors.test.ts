// The errors of sidecars that app.test.ts quotes, from real sidecars; and what becomes of a write when one is killed.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { afterAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { readConfig } from "../../../services/runtime/config.ts";
import { createTrace } from "../../../services/runtime/trace.ts";
import { createApp } from "../../../services/welcome/app.ts";
import { variables } from "../../../services/welcome/config.ts";
import { createSidecar } from "../../../services/welcome/sidecar.ts";
import { freeze } from "../../support/freeze.ts";
import { type Process, readLocalConfig, startSidecar } from "../../support/processes.ts";

const folder = mkdtempSync(join(tmpdir(), "sidecar-errors-"));
const resources = join(folder, "resources");
mkdirSync(resources);
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
/** Each test has its own, because the row of a sidecar that was killed stays. */
let names: string;
beforeEach(() => {
  names = join(folder, `names-${files++}.db`);
});

/** The Configuration of `npm start`, with name resolution of its own, changed by `change`. */
function configure(change = (text: string) => text): string {
  const file = join(folder, `config-${files++}.yaml`);
  writeFileSync(file, change(readLocalConfig(names)));
  return file;
}

async function sidecarOf(appId: string, options: Partial<Parameters<typeof startSidecar>[0]> = {}): Promise<Process> {
  const sidecar = await startSidecar({ appId, resources: [resources], config: configure(), ...options });
  onTestFinished(async () => void (await sidecar.end()));
  return sidecar;
}

/** welcome behind a sidecar. */
function welcomeAt({ origin }: Process, env: Record<string, string> = {}) {
  const config = readConfig(variables, { INVOKE_TIMEOUT_MS: "20000", ...env });
  const log = pino({ enabled: false });
  const sidecar = createSidecar({
    origin,
    timeoutMs: config.INVOKE_TIMEOUT_MS,
    apiToken: config.DAPR_API_TOKEN,
  });
  onTestFinished(sidecar.close);
  const register = new Registry();
  return request(createApp({ sidecar, signIn: undefined, config, log, register, ready: async () => {} }));
}

async function startApp(listener: RequestListener): Promise<{ port: number; end: () => void }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const end = () => {
    server.closeAllConnections();
    server.close();
  };
  onTestFinished(end);
  return { port: (server.address() as AddressInfo).port, end };
}
const noContent: RequestListener = (_req, res) => res.writeHead(204).end();

const denyAll = (text: string) => `${text}  accessControl:\n    defaultAction: deny\n`;
const unsent = expect.not.stringContaining("may still have succeeded");
const uncertain = expect.stringMatching(/ A write may still have succeeded\.$/);

/** Waits until a call of welcome reaches the service. */
const reach = (welcome: ReturnType<typeof welcomeAt>) =>
  vi.waitFor(() => welcome.get("/api/state/k").expect(204), { timeout: 20_000, interval: 100 });

/** Asserts the responses of welcome to a read and to a write, and what its page shows of state-api. */
async function expectRefusals(
  welcome: ReturnType<typeof welcomeAt>,
  problem: { status: number; code: string; title: string; detail?: unknown },
  health: { service: string; sidecar: string },
) {
  const { status, code, title, detail = unsent } = problem;
  const check = async (call: request.Test) => {
    const got = await call;
    expect(got.body).toMatchObject({ type: `urn:problem:${code}`, title, detail, status });
    expect(got.status).toBe(status);
  };
  await check(welcome.get("/api/state/k"));
  await check(welcome.put("/api/state/k").send({ a: 1 }));
  const { body } = await welcome.get("/api/health").expect(200);
  expect(body[1]).toEqual({ appId: "state-api", ...health, reason: title });
}

const unreachable = { status: 503, code: "sidecar-unreachable", title: "The sidecar of state-api is unreachable" };
const denied = { status: 502, code: "invocation-denied" };
const noResponse = { service: "unknown", sidecar: "no response" };
const unknown = { service: "unknown", sidecar: "unknown" };

describe("welcome behind a real sidecar reports", { timeout: 60_000 }, () => {
  test("an app id that the name resolution of npm start does not find as an unreachable sidecar", async () => {
    await expectRefusals(welcomeAt(await sidecarOf("welcome")), unreachable, noResponse);
  });

  test("an app id that mDNS does not find as an unreachable sidecar, at each of three calls", async () => {
    const { origin } = await sidecarOf("welcome", { config: undefined });
    const sidecar = createSidecar({ origin, timeoutMs: 20_000 });
    onTestFinished(sidecar.close);
    // Not state-api: mDNS also finds the sidecars of other programs on this machine.
    const appId = `nobody-${crypto.randomUUID()}`;
    for (let call = 0; call < 3; call++) {
      await expect(sidecar.invoke(appId, "/", { trace: createTrace({}) })).rejects.toMatchObject({
        code: "sidecar-unreachable",
        message: `The sidecar of ${appId} is unreachable`,
        detail: unsent,
      });
    }
  });

  test("no peer as unreachable that could not renew its name for two seconds", async () => {
    const { port } = await startApp(noContent);
    const peer = await sidecarOf("state-api", { appPort: port });
    const welcome = welcomeAt(await sidecarOf("welcome"));
    await reach(welcome);
    let rounds = 0;
    while (rounds < 3) {
      const start = performance.now();
      await freeze(peer.pid);
      await setTimeout(2_000);
      // A read would be repeated by the sidecar.
      const written = welcome
        .put("/api/state/k")
        .send({ a: 1 })
        .then(({ body }) => body);
      await setTimeout(300);
      process.kill(peer.pid, "SIGCONT");
      const body = await written;
      await reach(welcome);
      // On a busy machine, the peer can be stopped for so long that its name expires: stop it once more.
      if (performance.now() - start > 3_500) continue;
      expect(body).not.toMatchObject({ type: "urn:problem:sidecar-unreachable" });
      rounds++;
    }
  });

  test("a peer sidecar that ended as unreachable", async () => {
    const { port } = await startApp(noContent);
    const peer = await sidecarOf("state-api", { appPort: port });
    const welcome = welcomeAt(await sidecarOf("welcome"));
    await reach(welcome);
    await peer.end();
    await expectRefusals(welcome, unreachable, noResponse);
  });

  test("a peer sidecar that was killed as unreachable", async () => {
    const { port } = await startApp(noContent);
    const peer = await sidecarOf("state-api", { appPort: port });
    const welcome = welcomeAt(await sidecarOf("welcome"));
    await reach(welcome);
    await peer.end("SIGKILL");
    const written = await welcome.put("/api/state/k").send({ a: 1 }).expect(503);
    expect(written.body).toMatchObject({ title: unreachable.title });
    const read = await welcome.get("/api/state/k").expect(503);
    expect(read.body).toMatchObject({ title: unreachable.title });
  });

  test("a service that ended as no response of the service, whose write was not sent", async () => {
    // A sidecar that still has a connection would try it, and could not tell whether the write was sent.
    const app = await startApp((_req, res) => res.writeHead(204, { Connection: "close" }).end());
    await sidecarOf("state-api", { appPort: app.port });
    const welcome = welcomeAt(await sidecarOf("welcome"));
    await reach(welcome);
    app.end();
    await expectRefusals(
      welcome,
      { status: 503, code: "service-down", title: "state-api does not respond to its sidecar" },
      { service: "no response", sidecar: "up" },
    );
  });

  test("a sidecar without a service as no response of the service, whose write was not sent", async () => {
    await sidecarOf("state-api");
    await expectRefusals(
      welcomeAt(await sidecarOf("welcome")),
      { status: 503, code: "service-down", title: "state-api does not respond to its sidecar" },
      { service: "no response", sidecar: "up" },
    );
  });

  test("a service that cuts its connection as no response of the service, whose write may have succeeded", async () => {
    const { port } = await startApp((req) => req.socket.destroy());
    await sidecarOf("state-api", { appPort: port });
    await expectRefusals(
      welcomeAt(await sidecarOf("welcome")),
      { status: 503, code: "service-down", title: "state-api does not respond to its sidecar", detail: uncertain },
      { service: "no response", sidecar: "up" },
    );
  });

  test("an access control list that denies the call", async () => {
    const { port } = await startApp(noContent);
    await sidecarOf("state-api", { appPort: port, config: configure(denyAll) });
    const title = "The sidecar of state-api denies calls from welcome";
    await expectRefusals(welcomeAt(await sidecarOf("welcome")), { ...denied, title }, unknown);
  });

  test("a wrong API token", async () => {
    const sidecar = await sidecarOf("welcome", { env: { DAPR_API_TOKEN: "right" } });
    const title = "The Dapr sidecar rejects the API token of welcome";
    await expectRefusals(welcomeAt(sidecar, { DAPR_API_TOKEN: "wrong" }), { ...denied, title }, unknown);
  });

  test("a Configuration that does not allow invoke", async () => {
    const config = configure((text) => text.replace("name: invoke", "name: pubsub"));
    const title = "The Dapr sidecar does not allow service invocation";
    await expectRefusals(welcomeAt(await sidecarOf("welcome", { config })), { ...denied, title }, unknown);
  });
});

describe("a sidecar that is killed after its service received a write and before the response", {
  timeout: 120_000,
}, () => {
  /** The built-in retries of daprd, but more of them: on a busy machine, a sidecar takes longer than 3 s to start. */
  function manyRetries(interval: string): string {
    const path = mkdtempSync(join(folder, "retries-"));
    const policy = `DaprBuiltInServiceRetries: { policy: constant, duration: ${interval}, maxRetries: 300 }`;
    writeFileSync(
      join(path, "resiliency.yaml"),
      "{ apiVersion: dapr.io/v1alpha1, kind: Resiliency, metadata: { name: retries }, " +
        `spec: { policies: { retries: { ${policy} } }, targets: {} } }`,
    );
    return path;
  }

  /** Sends a write, and kills and restarts the peer while its service works on it. `writes` counts what it received. */
  async function interrupt<T>(send: (sidecar: Process) => Promise<T>, interval = "1s") {
    const first = Promise.withResolvers<void>();
    let writes = 0;
    const app = await startApp((req, res) => {
      if (req.method !== "PUT") return res.writeHead(204).end();
      writes += 1;
      first.resolve();
      if (writes > 1) res.writeHead(204).end();
    });
    const peer = await sidecarOf("state-api", { appPort: app.port });
    const caller = await sidecarOf("welcome", { resources: [manyRetries(interval)] });
    await reach(welcomeAt(caller));
    const sent = send(caller);
    await first.promise;
    await peer.end("SIGKILL");
    const restarted = await peer.restart();
    onTestFinished(async () => void (await restarted.end()));
    return { response: await sent, writes: () => writes };
  }

  /** A write with a Content-Length, as most clients send it. */
  const putAt = ({ origin }: Process, signal?: AbortSignal) =>
    fetch(`${origin}/v1.0/invoke/state-api/method/state/k`, {
      method: "PUT",
      body: "{}",
      ...(signal && { signal }),
    }).then(
      ({ status }) => status,
      () => "canceled",
    );

  test("sends a write with a known length to the service again", async () => {
    const { response, writes } = await interrupt(putAt);
    expect([response, writes()]).toEqual([204, 2]);
  });

  test("sends no write again that its caller cancels before the first retry, as welcome does", async () => {
    // 3 s instead of 1 s, because on a busy machine the caller can be late.
    const { response, writes } = await interrupt((sidecar) => putAt(sidecar, AbortSignal.timeout(950)), "3s");
    await setTimeout(6_500); // two more retries
    expect([response, writes()]).toEqual(["canceled", 1]);
  });

  test("sends no write of welcome again, which reports that it may have succeeded", async () => {
    const { response, writes } = await interrupt(({ origin }) => {
      const sidecar = createSidecar({ origin, timeoutMs: 60_000 });
      onTestFinished(sidecar.close);
      const write = { method: "PUT", body: "{}", trace: createTrace({}) } as const;
      return sidecar.invoke("state-api", "/state/k", write).catch((error: unknown) => error);
    });
    expect(response).toMatchObject({ status: 503, message: unreachable.title, detail: uncertain });
    expect(writes()).toBe(1);
  });
});
