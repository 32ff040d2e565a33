// Attacks the suite that `npm start` runs: from web pages in a real Chromium, from other apps with a sidecar, and from
// other programs that read the environment of a process.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { findPortOwner } from "../../tools/processes/ports.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { findChromium } from "../support/chromium.ts";
import { type Process, readLocalConfig, startSidecar } from "../support/processes.ts";
import { copyRunnableRepository } from "../support/repository.ts";

/** Lines of `.env`: settings that one service reads, and some that none reads. */
const settings = {
  WELCOME: "the-welcome-text",
  demosecret: "the-demo-secret",
  AZURE_CLIENT_SECRET: "the-client-secret",
  AZURE_TENANT_ID: "the-tenant",
  NO_PROXY: "the-hosts-without-a-proxy",
  DATABASE_PASSWORD: "the-password-of-another-project",
};

const folder = mkdtempSync(join(tmpdir(), "attacks-test-"));
/** Our ports by those of dapr.yaml. */
let ports: Map<string, string>;
let launcher: ChildProcess;
let output = "";
let browser: Browser;
/** A web site that the user visits. */
let site: Server;

const origin = (port: number) => `http://127.0.0.1:${ports.get(`${port}`)}`;
const stateApi = () => `${origin(8080)}/state/greeting`;
const readGreeting = async () => (await fetch(stateApi())).json();

beforeAll(async () => {
  ports = await copyRunnableRepository(folder);
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  appendFileSync(join(folder, ".env"), lines.join(""));
  launcher = spawn(process.execPath, ["tools/launch/start.ts"], {
    cwd: folder,
    env: { ...process.env, NO_PROXY: undefined, SHELL_SECRET: "the-secret-of-the-shell" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [launcher.stdout, launcher.stderr]) stream?.on("data", (chunk) => (output += chunk));
  site = createServer((_request, response) => {
    response.setHeader("Content-Type", "text/html").end("<title>A site that the user visits</title>");
  }).listen(0, "127.0.0.1");
  const executablePath = await findChromium();
  const args = [
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    // Since version 142 Chromium itself stops some of these attacks; other browsers do not.
    "--disable-features=LocalNetworkAccessChecks",
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  ];
  browser = await chromium.launch({ executablePath, args });
  await vi.waitUntil(() => output.includes("Ctrl-C stops everything") || launcher.exitCode !== null, 60_000);
  expect(output).toContain("Ctrl-C stops everything");
}, 300_000); // installs Chromium on the first run

afterAll(async () => {
  await browser?.close();
  site?.close();
  if (launcher?.exitCode === null) {
    launcher.kill("SIGTERM");
    await once(launcher, "exit");
  }
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  const headers = { "content-type": "application/json" };
  expect((await fetch(stateApi(), { method: "PUT", headers, body: '"mine"' })).status).toBe(204);
});

describe("a web page of another origin", () => {
  /** Runs a request in a page of http://evil.example and returns how the page sees the outcome. */
  async function fromPage(url: string, options: object): Promise<string> {
    const page = await browser.newPage();
    try {
      await page.goto(`http://evil.example:${(site.address() as AddressInfo).port}/`);
      return await page.evaluate(
        async ([url, options]) => {
          try {
            const response = await fetch(url, options);
            return `${response.type} ${response.status} ${await response.text()}`;
          } catch (error) {
            return String(error);
          }
        },
        [url, options] as const,
      );
    } finally {
      await page.close();
    }
  }

  const body = JSON.stringify([{ key: "greeting", value: "owned" }]);

  test.each(["text/plain", "application/x-www-form-urlencoded"])(
    "cannot save state through a sidecar with a request of type %s, which needs no preflight",
    async (type) => {
      for (const port of [3500, 3501, 3502]) {
        const url = `${origin(port)}/v1.0/state/statestore`;
        const headers = { "content-type": type };
        // The request is sent: an opaque response is all that the page ever sees of it.
        expect(await fromPage(url, { method: "POST", mode: "no-cors", headers, body })).toBe("opaque 0 ");
        expect((await fetch(url, { method: "POST", headers, body })).status).toBe(401);
      }
      expect(await readGreeting()).toBe("mine");
    },
  );

  test("cannot call a service through a sidecar, and reads nothing there", async () => {
    const url = `${origin(3502)}/v1.0/invoke/state-api/method/state/greeting`;
    expect(await fromPage(url, { method: "POST", mode: "no-cors", body })).toBe("opaque 0 ");
    expect(await fromPage(url, {})).toBe("TypeError: Failed to fetch");
    expect((await fetch(url)).status).toBe(401);
    expect(await readGreeting()).toBe("mine");
  });
});

describe("a web page whose name is rebound to 127.0.0.1", () => {
  /**
   * Opens http://evil.example with the port of a service. The page itself comes from the attacker's server; its requests
   * then reach the service, as after a change of the name's address.
   */
  async function rebound(port: number, requests: [path: string, options: object][]): Promise<string[]> {
    const page = await browser.newPage();
    try {
      const own = `http://evil.example:${ports.get(`${port}`)}`;
      await page.route(`${own}/attack`, (route) =>
        route.fulfill({ contentType: "text/html", body: "<title>x</title>" }),
      );
      await page.goto(`${own}/attack`);
      return await page.evaluate(async (requests) => {
        const responses: string[] = [];
        for (const [path, options] of requests) {
          const response = await fetch(path, options);
          responses.push(`${response.status} ${await response.text()}`);
        }
        return responses;
      }, requests);
    } finally {
      await page.close();
    }
  }

  const put = { method: "PUT", headers: { "content-type": "application/json" }, body: '"owned"' };

  test.each([
    ["state-api", 8080, ["/state/greeting", "/openapi.json", "/metrics"], "/state/greeting"],
    ["group-lister", 8081, ["/groupz", "/", "/readyz"], undefined],
    ["welcome", 8082, ["/", "/api/groups", "/api/state/greeting", "/api/secret"], "/api/state/greeting"],
    ["hello-wasm", 8083, ["/", "/healthz"], undefined],
  ] as const)("reads and writes nothing of %s, which answers 421", async (_name, port, reads, write) => {
    const requests: [string, object][] = reads.map((path) => [path, {}]);
    if (write) requests.push([write, put], [write, { method: "DELETE" }]);
    for (const response of await rebound(port, requests)) {
      expect(response).toMatch(
        /^421 \{"type":"urn:problem:wrong-host","title":"The Host header does not name this service"/,
      );
    }
    expect(await readGreeting()).toBe("mine");
  });

  test("reads and writes nothing through a sidecar, which answers 401", async () => {
    const responses = await rebound(3500, [
      ["/v1.0/state/statestore/greeting", {}],
      ["/v1.0/metadata", {}],
      ["/v1.0/state/statestore", { ...put, method: "POST", body: '[{"key":"greeting","value":"owned"}]' }],
      ["/v1.0/shutdown", { method: "POST" }],
    ]);
    expect(responses).toEqual(Array(4).fill("401 invalid api token\n"));
    expect(await readGreeting()).toBe("mine");
  });

  test.skipIf(process.platform !== "linux")("gets nothing but 401 from any port of a sidecar", async () => {
    const listening = [...readFileSync("/proc/net/tcp", "utf8").matchAll(/ 0100007F:([0-9A-F]{4}) \S+ 0A /g)];
    const found = listening
      .map(([, hex = ""]) => Number.parseInt(hex, 16))
      .filter((port) => findPortOwner(port)?.command.includes(`--resources-path ${folder}`));
    expect(found.length).toBeGreaterThanOrEqual(9); // HTTP, gRPC and the calls of other sidecars, three times
    const answers = await Promise.all(
      found.map((port) =>
        rawGet(`http://127.0.0.1:${port}/`, { Host: "evil.example" }).then(
          ({ status }) => status,
          () => "no HTTP/1.1",
        ),
      ),
    );
    expect(new Set(answers)).toEqual(new Set([401, "no HTTP/1.1"]));
  });
});

describe("another app, through the HTTP API of its own sidecar", () => {
  const other = mkdtempSync(join(tmpdir(), "third-app-test-"));
  let sidecar: Process;

  beforeAll(async () => {
    const config = join(other, "config.yaml");
    writeFileSync(config, readLocalConfig(join(folder, "data/names.db")));
    mkdirSync(join(other, "none"));
    sidecar = await startSidecar({ appId: "third-app", resources: [join(other, "none")], config });
  });
  afterAll(async () => {
    await sidecar?.end();
    rmSync(other, { recursive: true, force: true });
  });

  const invoke = (path: string, options: RequestInit = {}) =>
    fetch(`${sidecar.origin}/v1.0/invoke/${path}`, { redirect: "manual", ...options });
  const refusal = { status: 403, type: "urn:problem:caller-not-allowed" };

  test("gets 403 from state-api and group-lister for each method, and changes nothing", async () => {
    for (const method of ["GET", "PUT", "DELETE"]) {
      const headers = { "content-type": "application/json" };
      const body = method === "PUT" ? { body: '"owned"' } : {};
      const response = await invoke("state-api/method/state/greeting", { method, headers, ...body });
      expect(await response.json()).toMatchObject(refusal);
    }
    expect(await (await invoke("group-lister/method/groupz")).json()).toMatchObject(refusal);
    expect(await readGreeting()).toBe("mine");
  });

  test.each([
    ["a dapr-caller-app-id", { "dapr-caller-app-id": "welcome" }],
    ["two of them", { "Dapr-Caller-App-Id": "welcome, welcome" }],
    ["one, and drops its sidecar's", { "dapr-caller-app-id": "welcome", connection: "dapr-caller-app-id" }],
    ["a dapr-api-token", { "dapr-api-token": "x", "dapr-caller-app-id": "welcome" }],
  ])("gets 403 when it forges %s", async (_what, headers) => {
    // Repeated, because daprd passes headers on in a random order.
    for (let attempt = 0; attempt < 10; attempt++) {
      const response = await rawGet(`${sidecar.origin}/v1.0/invoke/state-api/method/state/greeting`, headers);
      expect(response).toEqual({ status: 403, body: expect.stringContaining(refusal.type) });
    }
  });

  test("is not in the way of welcome, whose calls both services serve", async () => {
    expect(await (await fetch(`${origin(8082)}/api/state/greeting`)).json()).toBe("mine");
    expect((await fetch(`${origin(8082)}/api/groups`)).status).toBe(200);
  });
});

describe.skipIf(!existsSync("/proc/self/environ"))("the environment of the processes", () => {
  /** The processes of the launcher with their environments, by app id; sidecars are "APP daprd". */
  function listProcesses(): Map<string, string> {
    const processes = new Map<string, string>();
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const parent = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ")[1];
        if (Number(parent) !== launcher.pid) continue;
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        const appId = command[command.indexOf("--app-id") + 1];
        const [, name = ""] = /(?:^|\0)APP_ID=([^\0]*)/.exec(environment) ?? [];
        processes.set(command.includes("--app-id") ? `${appId} daprd` : name || `${command[0]}`, environment);
      } catch {
        // It has ended.
      }
    }
    return processes;
  }

  test("has a value of .env in the services that need it, and in no other process", () => {
    const processes = listProcesses();
    expect([...processes.keys()].sort()).toEqual([
      "/bin/sh",
      "azure-stand-in",
      "group-lister",
      "group-lister daprd",
      "hello-wasm",
      "state-api",
      "state-api daprd",
      "welcome",
      "welcome daprd",
    ]);
    const readers = (value: string) =>
      [...processes].flatMap(([name, environment]) => (environment.includes(`=${value}`) ? [name] : [])).sort();
    expect(readers(settings.WELCOME)).toEqual(["state-api", "welcome"]);
    expect(readers(settings.demosecret)).toEqual(["welcome"]);
    expect(readers(settings.AZURE_CLIENT_SECRET)).toEqual(["group-lister"]);
    expect(readers(settings.AZURE_TENANT_ID)).toEqual(["group-lister"]);
    expect(readers(settings.NO_PROXY)).toEqual(["group-lister", "welcome"]); // they call Azure and Entra ID
    expect(readers(settings.DATABASE_PASSWORD)).toEqual([]);
    expect(readers("the-secret-of-the-shell")).toEqual([]);
  });
});

/** Sends a GET with exactly these headers, which fetch would not. */
async function rawGet(url: string, headers: Record<string, string>): Promise<{ status: number; body: string }> {
  const sent = request(url, { headers, agent: false }).end();
  const [response] = await once(sent, "response");
  let body = "";
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, body };
}
