import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import { identityHeader } from "../../stand-ins/azure/defaults.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { findDaprd } from "../../tools/daprd/find.ts";
import { isFree } from "../../tools/processes/ports.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { freePorts, root } from "../support/processes.ts";

const inRepository = (path: string) => join(root, path);

let daprd: string;

beforeAll(async () => {
  daprd = await findDaprd();
}, 600_000); // a machine without one may have to build it

interface Launch {
  folder: string;
  /** Ports of the first app. */
  ports: { app: number; http: number; grpc: number; internal: number };
  /** Ports of all apps. */
  all: number[];
  launcher: ChildProcess;
  output: () => string;
  /** Resolves with the exit code. */
  ended: Promise<number | null>;
}

interface Differences {
  apps?: string[];
  /** The program of each app. */
  command?: string;
  args?: string[];
  env?: Record<string, string>;
  prepare?: (folder: string, ports: Launch["ports"]) => void;
}

/** Starts a suite in a temporary folder: the fixture app, the repository's components, free ports. */
async function launch({
  apps = ["state-api"],
  command = inRepository("test/tools/fixtures/app.ts"),
  args = [],
  env = {},
  prepare,
}: Differences = {}): Promise<Launch> {
  const folder = mkdtempSync(join(tmpdir(), "launcher-test-"));
  const all = await freePorts(apps.length * 4);
  const portsOf = (index: number) => {
    const [app = 0, http = 0, grpc = 0, internal = 0] = all.slice(index * 4, index * 4 + 4);
    return { app, http, grpc, internal };
  };
  mkdirSync(join(folder, "secrets"));
  mkdirSync(join(folder, "data"));
  const secrets = {
    apiVersion: "dapr.io/v1alpha1",
    kind: "Component",
    metadata: { name: "secrets" },
    spec: { type: "secretstores.local.env", version: "v1" },
  };
  writeFileSync(join(folder, "secrets", "secrets.yaml"), stringify(secrets));
  const template = {
    version: 1,
    common: {
      resourcesPaths: [inRepository("components/local"), "./secrets"],
      configFilePath: inRepository("components/local/config.yaml"),
      logLevel: "warn",
    },
    apps: apps.map((appID, index) => ({
      appID,
      appDirPath: ".",
      appPort: portsOf(index).app,
      ...(appID === "azure-stand-in"
        ? {}
        : {
            daprHTTPPort: portsOf(index).http,
            daprGRPCPort: portsOf(index).grpc,
            daprInternalGRPCPort: portsOf(index).internal,
          }),
      command: [process.execPath, command],
      env: { PORT: portsOf(index).app, ...env },
    })),
  };
  writeFileSync(join(folder, "dapr.yaml"), stringify(template));
  prepare?.(folder, portsOf(0));

  const launcher = spawn(
    process.execPath,
    [inRepository("tools/launch/start.ts"), join(folder, "dapr.yaml"), ...args],
    {
      cwd: "/",
      env: { ...process.env, DAPRD: daprd, READY_WITHIN_MS: "20000", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [launcher.stdout, launcher.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  }
  const ended = new Promise<number | null>((resolve) => launcher.once("close", (code) => resolve(code)));
  return { folder, ports: portsOf(0), all, launcher, output: () => output, ended };
}

async function untilReady(run: Launch): Promise<void> {
  await vi.waitUntil(() => run.output().includes("Ctrl-C stops everything"), { timeout: 20_000 });
}

function listDescendants(pid: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const afterCommand = readFileSync(`/proc/${name}/stat`, "utf8").split(") ").at(-1) ?? "";
        return [{ pid: Number(name), parent: Number(afterCommand.split(" ")[1]) }];
      } catch {
        return []; // it has ended
      }
    });
  const children = parents.filter(({ parent }) => parent === pid).map((child) => child.pid);
  return [...children, ...children.flatMap(listDescendants)];
}

/** The UDP sockets and the listening TCP sockets of these processes, e.g. "tcp 0100007F:1F90". */
function listListeners(pids: number[]): string[] {
  const inodes = new Set(
    pids.flatMap((pid) =>
      readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
        try {
          return [/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? ""];
        } catch {
          return [];
        }
      }),
    ),
  );
  return ["tcp", "tcp6", "udp", "udp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => inodes.has(columns[9] ?? "none") && (table.startsWith("udp") || columns[3] === "0A"))
      .map((columns) => `${table} ${columns[1]}`),
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Calls a method of Dapr's gRPC API with an empty message and returns its grpc-status. */
function callGrpc(port: number, method: string, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`).on("error", reject);
    const request = session.request({
      ":method": "POST",
      ":path": `/dapr.proto.runtime.v1.Dapr/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
      "dapr-api-token": token,
    });
    const settle = (headers: Record<string, unknown>) => {
      if (headers["grpc-status"] === undefined) return;
      resolve(Number(headers["grpc-status"]));
      session.destroy();
    };
    request.on("response", settle).on("trailers", settle).on("error", reject).resume();
    request.end(Buffer.alloc(5)); // uncompressed, 0 bytes long
  });
}

/** The environment of a process at its start. */
function readEnvironment(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

describe.skipIf(process.platform !== "linux")("the launcher with two apps", () => {
  let run: Launch;
  let pids: number[];
  let environments: Record<string, string>[];
  /** The API tokens of the sidecars by app id. */
  const tokens = new Map<string, string>();
  const withToken = (appId: string) => ({ "dapr-api-token": tokens.get(appId) ?? "" });

  beforeAll(async () => {
    run = await launch({ apps: ["state-api", "caller"] });
    await untilReady(run);
    pids = listDescendants(run.launcher.pid ?? 0);
    // The shell that would kill them after a SIGKILL of the launcher has an empty environment.
    environments = pids.map(readEnvironment).filter((each) => "PATH" in each);
    for (const { APP_ID, DAPR_API_TOKEN = "" } of environments) if (APP_ID) tokens.set(APP_ID, DAPR_API_TOKEN);
  });

  afterAll(async () => {
    run.launcher.kill("SIGTERM");
    await run.ended;
    rmSync(run.folder, { recursive: true, force: true });
  });

  test("prints a table of services, sidecars and stores, and commands to try", () => {
    const { app, http } = run.ports;
    expect(run.output()).toMatch(/service +url +sidecar +data\n/);
    const row = `  state-api +http://127\\.0\\.0\\.1:${app} +http://127\\.0\\.0\\.1:${http} +statestore \\(state\\.sqlite, .*data/state\\.db\\)\n`;
    expect(run.output()).toMatch(new RegExp(row));
    expect(run.output()).toMatch(
      new RegExp(`  caller +http://127\\.0\\.0\\.1:${run.all[4]} +http://127\\.0\\.0\\.1:${run.all[5]}\n`),
    );
    expect(run.output()).toContain(`Try:\n  curl http://127.0.0.1:${app}/whoami\n`);
  });

  test("prefixes each log line with the name of its app, and logs no warnings", () => {
    expect(run.output()).toMatch(/^state-api {7}\| plain text is fine$/m);
    expect(run.output()).not.toContain("WARN");
  });

  test("listens on loopback only, and on no UDP port", () => {
    const listeners = listListeners(pids);
    expect(listeners).toHaveLength(run.all.length);
    const loopback = "tcp 0100007F:";
    expect(listeners.filter((listener) => !listener.startsWith(loopback))).toEqual([]);
  });

  test("sets the environment variables of the Dapr CLI for its apps", async () => {
    const response = await fetch(`http://127.0.0.1:${run.ports.app}/whoami`);
    expect(await response.text()).toBe(`state-api beside ${run.ports.http}`);
  });

  test("gives each pair two random tokens of its own, which the app and its sidecar share", () => {
    for (const name of ["DAPR_API_TOKEN", "APP_API_TOKEN"]) {
      const values = environments.map((environment) => environment[name] ?? "");
      expect(values).toHaveLength(4);
      for (const value of values) expect(value).toMatch(/^[\w-]{43}$/);
      expect(new Set(values).size).toBe(2);
    }
    expect(tokens.size).toBe(2);
    expect(new Set(environments.flatMap((each) => [each.DAPR_API_TOKEN, each.APP_API_TOKEN])).size).toBe(4);
  });

  test("puts no token on a command line or into the output", () => {
    const secrets = environments.flatMap((each) => [each.DAPR_API_TOKEN ?? "", each.APP_API_TOKEN ?? ""]);
    const commandLines = pids.map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    for (const secret of secrets) expect([...commandLines, run.output()].join("\n")).not.toContain(secret);
  });

  test("starts sidecars that answer 401 or Unauthenticated without their token, or with that of another", async () => {
    const url = `http://127.0.0.1:${run.ports.http}/v1.0/state/statestore`;
    for (const wrong of [{}, { "dapr-api-token": "" }, withToken("caller")]) {
      const saved = await fetch(url, { method: "POST", headers: wrong, body: '[{"key":"owned","value":1}]' });
      expect(saved.status).toBe(401);
      for (const path of ["/owned", "/../../metadata", "/../../invoke/state-api/method/whoami"]) {
        expect([path, (await fetch(url + path, { headers: wrong })).status]).toEqual([path, 401]);
      }
    }
    expect((await fetch(`${url}/owned`, { headers: withToken("state-api") })).status).toBe(204);
    const unauthenticated = 16;
    expect(await callGrpc(run.ports.grpc, "UnlockAlpha1", "wrong")).toBe(unauthenticated);
  });

  test("stores state in the data folder", async () => {
    const states = `http://127.0.0.1:${run.ports.http}/v1.0/state/statestore`;
    const saved = await fetch(states, {
      method: "POST",
      headers: { "content-type": "application/json", ...withToken("state-api") },
      body: JSON.stringify([{ key: "a", value: { b: 1 } }]),
    });
    expect(saved.status).toBe(204);
    expect(await (await fetch(`${states}/a`, { headers: withToken("state-api") })).json()).toEqual({ b: 1 });
    expect(readdirSync(join(run.folder, "data"))).toContain("state.db");
  });

  test("lets one app call another through their sidecars", async () => {
    const url = `http://127.0.0.1:${run.all[5]}/v1.0/invoke/state-api/method/whoami`;
    const response = await fetch(url, { headers: withToken("caller") });
    expect(await response.text()).toBe(`state-api beside ${run.ports.http}`);
  });

  test.for([
    "secrets/secrets/PATH",
    "secrets/secrets/bulk",
    "publish/pubsub/topic",
    "bindings/x",
    "configuration/x",
    "actors/a/b/state/c",
    "shutdown",
  ])("returns 404 for the sidecar API %s", async (path) => {
    for (const method of ["GET", "POST"]) {
      const url = `http://127.0.0.1:${run.ports.http}/v1.0/${path}`;
      const response = await fetch(url, { method, headers: withToken("state-api") });
      expect([method, response.status]).toEqual([method, 404]);
    }
  });

  test.for(["GetSecret", "GetBulkSecret", "GetMetadata", "GetState", "SaveState", "InvokeService", "Shutdown"])(
    "returns Unimplemented for %s over gRPC",
    async (method) => {
      expect(await callGrpc(run.ports.grpc, method, tokens.get("state-api") ?? "")).toBe(12);
    },
  );

  test("stops the apps before their sidecars on Ctrl-C, exits with 0, leaves no process and frees every port", async () => {
    expect(pids.length).toBeGreaterThanOrEqual(4);
    run.launcher.kill("SIGINT");
    expect(await run.ended).toBe(0);
    for (const app of ["state-api", "caller"]) {
      expect(run.output()).toContain(`the sidecar of ${app} returned 200 after SIGTERM`);
    }
    // The shell that guards them ends after the launcher.
    await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([]);
    for (const port of run.all) expect([port, await isFree(port)]).toEqual([port, true]);
  });
});

describe("the launcher", () => {
  let run: Launch | undefined;

  beforeEach(() => {
    run = undefined;
  });

  afterEach(async () => {
    run?.launcher.kill("SIGTERM");
    await run?.ended;
    if (run) rmSync(run.folder, { recursive: true, force: true });
  });

  async function expectAllFree({ all }: Launch): Promise<void> {
    for (const port of all) expect([port, await isFree(port)]).toEqual([port, true]);
  }

  test("names the process that holds a taken port, and starts nothing", async () => {
    const owner = createServer();
    run = await launch({ prepare: (_folder, ports) => owner.listen(ports.grpc, "127.0.0.1") });
    expect(await run.ended).toBe(1);
    expect(run.output()).toContain(
      `Port ${run.ports.grpc} (sidecar of state-api, gRPC) is taken by process ${process.pid}:`,
    );
    expect(run.output()).not.toContain("Starting");
    await new Promise((resolve) => owner.close(resolve));
  });

  test("names the invalid field of dapr.yaml", async () => {
    run = await launch({
      prepare: (folder) => {
        const file = join(folder, "dapr.yaml");
        writeFileSync(file, readFileSync(file, "utf8").replace(/appPort: \d+/, "appPort: many"));
      },
    });
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(/dapr\.yaml is not valid:\n {2}- apps\.0\.appPort must be integer/);
  });

  test("names the missing port of a sidecar", async () => {
    run = await launch({
      prepare: (folder) => {
        const file = join(folder, "dapr.yaml");
        writeFileSync(file, readFileSync(file, "utf8").replace(/ +daprGRPCPort: \d+\n/, ""));
      },
    });
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(/is not valid:\n {2}- apps\.0 must have required properties daprGRPCPort\n/);
  });

  test("lists the credentials that it tried and the remedy when --azure finds no identity", async () => {
    run = await launch({ args: ["--azure"], env: { AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential" } });
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(/Nothing was started[\s\S]*az login[\s\S]*- EnvironmentCredential/);
    expect(run.output()).not.toContain("Starting");
  });

  test("prints the last lines of an app that ends, stops everything and exits with 1", async () => {
    run = await launch();
    await untilReady(run);
    await fetch(`http://127.0.0.1:${run.ports.app}/exit`).catch(() => "the connection breaks");
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(/state-api exited with code 3\. Its last lines:\n.*\n.*about to end\n/);
    expect(run.output()).toContain("Stopping everything");
    await expectAllFree(run);
  });

  test("prints the last lines of the sidecar when the database file is broken", async () => {
    run = await launch({
      prepare: (folder) => writeFileSync(join(folder, "data", "state.db"), "This is no database. ".repeat(1000)),
    });
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(/state-api daprd exited with code 1\. Its last lines:\n/);
    expect(run.output()).toContain("file is not a database");
    await expectAllFree(run);
  });

  test("names data/names.db when it is broken, and starts nothing", async () => {
    run = await launch({
      prepare: (folder) => writeFileSync(join(folder, "data", "names.db"), "This is no database. ".repeat(1000)),
    });
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(/^\n\S+\/data\/names\.db, which .+: file is not a database\. Delete the file\.\n$/);
    await expectAllFree(run);
  });

  test("names an app that does not become ready, and stops everything", async () => {
    run = await launch({ env: { READY: "never", READY_WITHIN_MS: "5000" } });
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(/state-api is not ready after 5 s: GET .*\/readyz returns 503\. Its last/);
    await expectAllFree(run);
  });

  test("kills an app that ignores the first Ctrl-C on the second", async () => {
    run = await launch({ env: { STUBBORN: "yes" } });
    await untilReady(run);
    run.launcher.kill("SIGINT");
    run.launcher.kill("SIGINT"); // npm passes on the Ctrl-C that the terminal has sent: this is not the second one
    await vi.waitUntil(() => run?.output().includes("Stopping everything"), 10_000);
    await sleep(600); // for half a second, further signals count as the first Ctrl-C
    expect(run.launcher.exitCode).toBe(null);
    run.launcher.kill("SIGINT");
    expect(await run.ended).toBe(130);
    await expectAllFree(run);
  });

  test.skipIf(process.platform !== "linux")("leaves neither the app nor its sidecar after SIGKILL", async () => {
    run = await launch();
    await untilReady(run);
    const pids = listDescendants(run.launcher.pid ?? 0);
    expect(pids.length).toBeGreaterThanOrEqual(2);
    run.launcher.kill("SIGKILL");
    await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([]);
    await expectAllFree(run);
  });

  test("names the data folder when it cannot be created", async () => {
    run = await launch({
      prepare: (folder) => {
        rmSync(join(folder, "data"), { recursive: true });
        writeFileSync(join(folder, "data"), "");
      },
    });
    expect(await run.ended).toBe(1);
    expect(run.output()).toContain(join(run.folder, "data"));
  });
});

describe.skipIf(process.platform !== "linux")("the Azure stand-in", () => {
  const apps = ["state-api", "azure-stand-in"];
  let run: Launch;
  let azure: Azure;

  beforeEach(async () => {
    azure = await startAzure();
  });
  afterEach(async () => {
    run.launcher.kill("SIGTERM");
    await run.ended;
    await azure.close();
    rmSync(run.folder, { recursive: true, force: true });
  });

  test("runs without a sidecar, and the table labels its data as samples", async () => {
    run = await launch({ apps, env: { SAMPLES: "azure-stand-in" } });
    await untilReady(run);
    expect(run.output()).toMatch(/ {2}azure-stand-in +http:\S+ +sample data of azure-stand-in \(npm start -- --azure/);
    expect(run.output()).not.toContain("azure-stand-in daprd");
  });

  test("has its HTTPS port checked before anything starts", async () => {
    const owner = createServer().listen(0, "127.0.0.1");
    await once(owner, "listening");
    const { port } = owner.address() as AddressInfo;
    run = await launch({ apps, env: { AZURE_STAND_IN_HTTPS_PORT: `${port}` } });
    expect(await run.ended).toBe(1);
    expect(run.output()).toContain(`Port ${port} (azure-stand-in, HTTPS) is taken by process ${process.pid}:`);
    expect(run.output()).not.toContain("Starting");
    owner.close();
  });

  test("is switched off by AZURE_STAND_IN=off in .env", async () => {
    const prepare = (folder: string) => writeFileSync(join(folder, ".env"), "AZURE_STAND_IN=off\n");
    run = await launch({ command: inRepository("test/tools/fixtures/service/server.ts"), prepare });
    await untilReady(run);
    const whoami = await fetch(`http://127.0.0.1:${run.ports.app}/whoami`);
    expect(await whoami.text()).toContain("stand-in off");
  });

  test("does not start with --azure, and the apps do not use it", async () => {
    const identity = { IDENTITY_ENDPOINT: `${azure.url}/msi/token`, IDENTITY_HEADER: identityHeader };
    run = await launch({ apps, args: ["--azure"], env: { ...identity, AZURE_STAND_IN: "on" } });
    await untilReady(run);
    expect(run.output()).not.toMatch(/^ {2}azure-stand-in/m);
    const whoami = await fetch(`http://127.0.0.1:${run.ports.app}/whoami`);
    expect(await whoami.text()).toBe(`state-api beside ${run.ports.http}, stand-in off`);
  });
});
