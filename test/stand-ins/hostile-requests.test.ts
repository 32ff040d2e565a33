// The Azure stand-in runs beside the suite on a developer's machine, where any web page can send it requests. When its
// process ends, `npm start` ends everything.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, createServer, request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { spawn } from "../../tools/processes/spawn.ts";
import { findChromium } from "../support/chromium.ts";
import { freePorts, root } from "../support/processes.ts";
import { copyRunnableRepository } from "../support/repository.ts";
import { measure } from "../support/stopwatch.ts";

/** Starts the stand-in and resolves when it listens. */
async function start(env: Record<string, string> = {}) {
  const [http = 0, https = 0] = await freePorts(2);
  const child = spawn(process.execPath, ["stand-ins/azure/server.ts"], {
    cwd: root,
    env: { ...process.env, PORT: `${http}`, AZURE_STAND_IN_HTTPS_PORT: `${https}`, ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  await vi.waitUntil(() => output.includes("Azure stand-in with") || child.exitCode !== null, 10_000);
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  return {
    child,
    http,
    https,
    async end() {
      child.kill("SIGTERM");
      return exited;
    },
  };
}

const isReady = async (port: number) => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;

/** Sends the bytes on a connection of their own and resolves with all that comes back. */
async function send(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => (received += chunk));
  socket.on("error", () => {}); // a reset is a way to refuse
  socket.write(bytes);
  await once(socket, "close");
  return received;
}

/** The first line of the response to a request with this line and these headers. */
async function ask(port: number, line: string, headers = `Host: 127.0.0.1:${port}`): Promise<string> {
  const response = await send(port, `${line} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`);
  return response.split("\r\n")[0] ?? "";
}

describe("the process of the Azure stand-in", () => {
  let standIn: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    standIn = await start();
  });
  afterAll(async () => {
    expect(await standIn.end()).toBe(0); // no request has ended it before
  });

  test.each(["//", "///a", "*", "http://127.0.0.1//", "/%", "/%zz", "/%ff/%fe", "/msi/%c0token"])(
    "returns 400 for the target %s, and still answers",
    async (target) => {
      expect(await ask(standIn.http, `GET ${target}`)).toBe("HTTP/1.1 400 Bad Request");
      expect(await isReady(standIn.http)).toBe(true);
    },
  );

  test("still answers after a POST that the client aborts", async () => {
    const socket = connect(standIn.http, "127.0.0.1");
    const head = `POST /msi/token HTTP/1.1\r\nHost: 127.0.0.1:${standIn.http}\r\nContent-Length: 1000\r\n\r\n`;
    socket.write(`${head}half`, () => socket.resetAndDestroy());
    await once(socket, "close");
    expect(await isReady(standIn.http)).toBe(true);
  });

  test("still answers after bytes that are no HTTP, on both ports", async () => {
    const garbage = Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 31 + 7) % 256));
    expect(await send(standIn.http, garbage)).toMatch(/^HTTP\/1\.1 400 /);
    await send(standIn.https, garbage);
    await send(standIn.https, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    expect(await isReady(standIn.http)).toBe(true);
  });

  test.each([
    ["with its length in the head", "Content-Length: 99999999\r\n\r\n"],
    ["in pieces", `Transfer-Encoding: chunked\r\n\r\n${`4000\r\n${"x".repeat(0x4000)}\r\n`.repeat(8)}`],
  ])("returns 413 for an oversized body %s", async (_, rest) => {
    const head = `POST /msi/token HTTP/1.1\r\nHost: 127.0.0.1:${standIn.http}\r\n`;
    expect(await send(standIn.http, head + rest)).toMatch(/^HTTP\/1\.1 413 /);
    expect(await isReady(standIn.http)).toBe(true);
  });

  test("ends a request whose head does not arrive within seconds", async () => {
    const milliseconds = await measure(async () => {
      expect(await send(standIn.http, "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n")).toMatch(/^HTTP\/1\.1 408 /);
    });
    expect(milliseconds).toBeLessThan(9_000);
  });

  test.each(["evil.example", "127.0.0.1.evil.example", "azure-stand-in:8090", "localhost.", "127.0.0.1@evil", ""])(
    "returns 421 for the Host %s on loopback",
    async (host) => {
      const headers = `Host: ${host}\r\nX-IDENTITY-HEADER: azure-stand-in`;
      const target = "/msi/token?api-version=2019-08-01&resource=https://management.azure.com";
      expect(await ask(standIn.http, `GET ${target}`, headers)).toBe("HTTP/1.1 421 Misdirected Request");
    },
  );

  test("accepts the loopback names with any port", async () => {
    for (const host of ["127.0.0.1", "localhost", "LOCALHOST:1", `127.0.0.1:${standIn.http}`]) {
      expect(await ask(standIn.http, "GET /readyz", `Host: ${host}`)).toBe("HTTP/1.1 200 OK");
    }
  });
});

test("the process also accepts its name in Compose when it listens on all addresses, as there", async () => {
  const standIn = await start({ HOST: "0.0.0.0" });
  try {
    expect(await ask(standIn.http, "GET /readyz", "Host: azure-stand-in:8080")).toBe("HTTP/1.1 200 OK");
    expect(await ask(standIn.http, "GET /readyz", "Host: 127.0.0.1")).toBe("HTTP/1.1 200 OK");
    expect(await ask(standIn.http, "GET /readyz", "Host: evil.example")).toBe("HTTP/1.1 421 Misdirected Request");
  } finally {
    await standIn.end();
  }
});

test("10,000 requests of 20 KiB do not fill the memory of a process whose heap is limited to 64 MiB", async () => {
  const standIn = await start({ NODE_OPTIONS: "--max-old-space-size=64" });
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const body = Buffer.alloc(20 * 1024, "x");
  const post = () =>
    new Promise<number>((resolve, reject) => {
      const options = { agent, host: "127.0.0.1", port: standIn.http, method: "POST", path: "/msi/token" };
      const sent = httpRequest(options, (response: IncomingMessage) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode ?? 0));
      });
      sent.once("error", reject);
      sent.end(body);
    });
  try {
    let left = 10_000;
    const worker = async () => {
      while (left-- > 0) expect(await post()).toBe(405);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    expect(await isReady(standIn.http)).toBe(true);
  } finally {
    agent.destroy();
    await standIn.end();
  }
}, 60_000);

describe.skipIf(process.platform !== "linux")("npm start, while a web page of another origin sends requests", () => {
  let folder: string;
  let browser: Browser;
  let npm: ChildProcess | undefined;
  let output = "";
  let port = 0;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "hostile-page-test-"));
    const ports = await copyRunnableRepository(folder);
    port = Number(ports.get("8090"));
    const started = spawn("npm", ["start"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"], detached: true });
    for (const stream of [started.stdout, started.stderr]) stream.on("data", (chunk) => (output += chunk));
    npm = started;
    const executablePath = await findChromium();
    browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
    await vi.waitUntil(() => output.includes("Ctrl-C stops everything"), 60_000);
  }, 300_000); // installs Chromium on the first run
  afterAll(async () => {
    await browser?.close();
    if (npm?.pid && npm.exitCode === null) {
      const closed = once(npm, "close");
      process.kill(-npm.pid, "SIGINT");
      await closed;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  test("every service and the stand-in still answer", async () => {
    const attack = `<img src="http://127.0.0.1:${port}//"><img src="http://127.0.0.1:${port}/%ff">`;
    const site = createServer((_request, response) => {
      response.setHeader("Content-Type", "text/html");
      response.end(`<!doctype html><title>page</title>${attack}`);
    }).listen(0, "127.0.0.1");
    await once(site, "listening");
    const page = await browser.newPage();
    const answers: string[] = [];
    page.on("requestfailed", (request) => answers.push(`${request.url()} failed`));
    page.on("response", (response) => answers.push(`${response.url()} ${response.status()}`));
    await page.goto(`http://localhost:${(site.address() as AddressInfo).port}/`);
    site.close();
    site.closeAllConnections();
    expect(answers.toSorted().slice(0, 2)).toEqual([
      `http://127.0.0.1:${port}/%ff 400`,
      `http://127.0.0.1:${port}// 400`,
    ]);

    await new Promise((resolve) => setTimeout(resolve, 1_000)); // time for the launcher to see that a process ended
    expect(await isReady(port)).toBe(true);
    expect(npm?.exitCode).toBeNull();
    expect(output).not.toContain("Stopped.");
    const table = readFileSync(join(folder, "dapr.yaml"), "utf8");
    for (const [, appPort] of table.matchAll(/^ +appPort: (\d+)/gm)) {
      await expect.poll(() => isReady(Number(appPort))).toBe(true);
    }
  });
});
