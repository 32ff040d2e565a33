import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { checkCosmos } from "../../tools/cosmos-check/check.ts";
import type { Finding } from "../../tools/cosmos-check/finding.ts";
import { type CheckOptions, readOptions } from "../../tools/cosmos-check/options.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { emulatorKey, type RoleAssignment } from "../simulators/cosmos/auth.ts";
import {
  type CosmosSimulator,
  type CosmosSimulatorOptions,
  startCosmosSimulator,
} from "../simulators/cosmos/simulator.ts";
import { measure } from "../support/stopwatch.ts";
import { signToken, tenant } from "../support/tenant.ts";

const started: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.close()));
});

describe("checkCosmos with a key", () => {
  test("returns only ok findings for an account that is set up for Dapr", async () => {
    const findings = await check(await startDaprs());
    expect(faults(findings)).toEqual([]);
    expect(findings.map((finding) => finding.check)).toEqual([
      "account",
      "consistency",
      "database",
      "container",
      "partition key",
      "TTL",
      "keys",
    ]);
  });

  test("returns the command that turns keys off", async () => {
    expect(await find(await startDaprs(), "keys")).toMatchObject({
      status: "ok",
      fix: expect.stringContaining("properties.disableLocalAuth=true"),
    });
  });

  test("reports a missing database, and with fix creates it and its container", async () => {
    const cosmos = await start();
    expect(faults(await check(cosmos))).toEqual([
      { status: "fix", check: "database", text: "dapr-db is missing", fix: expect.stringContaining("--fix") },
    ]);
    expect(cosmos.requests.every(({ method }) => method === "GET")).toBe(true);
    const fixed = await check(cosmos, { fix: true });
    expect(fixed).toContainEqual({ status: "ok", check: "container", text: "statestore was missing; created" });
    expect(faults(fixed)).toEqual([]);
    expect(await find(cosmos, "partition key")).toEqual({
      status: "ok",
      check: "partition key",
      text: "/partitionKey",
    });
    expect(await find(cosmos, "TTL")).toEqual({ status: "ok", check: "TTL", text: "on (-1)" });
  });

  test("reports a missing container", async () => {
    const cosmos = await start();
    cosmos.createContainer("dapr-db", "another");
    expect(faults(await check(cosmos))).toMatchObject([{ status: "fix", check: "container" }]);
    expect(faults(await check(cosmos, { container: "another" }))).toEqual([]);
  });

  test("reports a partition key path that Dapr does not write, and does not change the container, even with fix", async () => {
    const cosmos = await start();
    cosmos.createContainer("dapr-db", "statestore", { partitionKeyPath: "/id" });
    const fault = {
      status: "FAIL",
      check: "partition key",
      text: expect.stringMatching(/^\/id instead of \/partitionKey/),
      fix: expect.stringContaining("az cosmosdb sql container delete"),
    };
    expect(faults(await check(cosmos, { fix: true }))).toEqual([fault]);
    expect(faults(await check(cosmos))).toEqual([fault]);
  });

  test.each([
    ["off", "ttlInSeconds"],
    [3600, "3600"],
  ] as const)("reports the TTL %s, and with fix sets it to -1", async (defaultTtl, words) => {
    const cosmos = await start();
    cosmos.createContainer("dapr-db", "statestore", { defaultTtl });
    expect(faults(await check(cosmos))).toMatchObject([
      { status: "fix", check: "TTL", text: expect.stringContaining(words) },
    ]);
    expect(faults(await check(cosmos, { fix: true }))).toEqual([]);
    expect(await find(cosmos, "TTL")).toEqual({ status: "ok", check: "TTL", text: "on (-1)" });
  });

  test.each([
    ["Eventual", "too weak"],
    ["ConsistentPrefix", "too weak"],
    ["BoundedStaleness", "stronger than needed"],
    ["Strong", "stronger than needed"],
  ] as const)("reports that %s consistency is %s", async (consistency, words) => {
    expect(faults(await check(await startDaprs({ consistency })))).toEqual([
      {
        status: "FAIL",
        check: "consistency",
        text: expect.stringContaining(words),
        fix: expect.stringContaining("--default-consistency-level Session"),
      },
    ]);
  });

  test("reports a wrong key", async () => {
    const auth = { key: Buffer.from("another").toString("base64") };
    const findings = await check(await startDaprs(), { auth });
    expect(findings).toMatchObject([{ status: "FAIL", text: "the key does not belong to this account" }]);
  });

  test("reports that the account accepts no keys", async () => {
    const findings = await check(await startDaprs({ disableLocalAuth: true }));
    expect(findings).toMatchObject([{ status: "FAIL", fix: expect.stringContaining("az login") }]);
  });
});

describe("checkCosmos with an Entra ID token", () => {
  test("returns only ok findings when the account accepts no keys and the principal has the data role on the container only", async () => {
    const cosmos = await startDaprs({ disableLocalAuth: true, roleAssignments: [onContainer("me")] });
    const findings = await check(cosmos, { auth: signedInAs("me") });
    expect(faults(findings)).toEqual([]);
    expect(findings.map((finding) => finding.check)).toEqual(expect.arrayContaining(["data role", "keys"]));
  });

  test("reports that keys are still on", async () => {
    const cosmos = await startDaprs();
    expect(faults(await check(cosmos, { auth: signedInAs("me") }))).toEqual([
      {
        status: "FAIL",
        check: "keys",
        text: expect.stringContaining("still on"),
        fix: expect.stringContaining("properties.disableLocalAuth=true"),
      },
    ]);
  });

  test("reports a missing data role with the command that assigns it", async () => {
    const cosmos = await startDaprs({ roleAssignments: [onContainer("someone else")] });
    expect(await check(cosmos, { auth: signedInAs("me") })).toEqual([
      {
        status: "FAIL",
        check: "data role",
        text: expect.stringContaining("me has no data role on the container"),
        fix:
          "az cosmosdb sql role assignment create --resource-group GROUP --account-name ACCOUNT " +
          '--scope "/dbs/dapr-db/colls/statestore" --principal-id me --role-definition-id 00000000-0000-0000-0000-000000000002',
      },
    ]);
  });

  test("returns az commands, and changes nothing, where a token cannot create or change resources", async () => {
    const cosmos = await start({ disableLocalAuth: true });
    const auth = signedInAs("me");
    expect(faults(await check(cosmos, { auth, fix: true }))).toMatchObject([
      { status: "FAIL", check: "database", fix: expect.stringContaining("az cosmosdb sql database create") },
    ]);
    cosmos.createContainer("dapr-db", "statestore", { defaultTtl: "off" });
    expect(faults(await check(cosmos, { auth, fix: true }))).toMatchObject([
      { status: "FAIL", check: "TTL", fix: expect.stringMatching(/az cosmosdb sql container update .* --ttl -1/) },
    ]);
  });

  test("reports a missing container to a principal whose role covers the container only", async () => {
    const cosmos = await start({ disableLocalAuth: true, roleAssignments: [onContainer("me")] });
    cosmos.createContainer("dapr-db", "another");
    expect(faults(await check(cosmos, { auth: signedInAs("me") }))).toMatchObject([
      { status: "FAIL", check: "container", fix: expect.stringContaining("az cosmosdb sql container create") },
    ]);
  });

  test("sends no write but the delete of a missing document", async () => {
    const cosmos = await startDaprs();
    await check(cosmos, { auth: signedInAs("me") });
    const writes = cosmos.requests.filter(({ method }) => method !== "GET");
    expect(writes.map(({ method, status }) => [method, status])).toEqual([["DELETE", 404]]);
  });
});

test("checkCosmos waits for an account whose first response takes 1.5 s", async () => {
  const cosmos = await startDaprs();
  cosmos.latencyMs = 1_500;
  const findings = check(cosmos);
  await expect.poll(() => cosmos.requests.length, { timeout: 10_000 }).toBeGreaterThan(0);
  cosmos.latencyMs = 0;
  expect(faults(await findings)).toEqual([]);
});

describe("npm run cosmos:check", () => {
  test("exits with 0 when every check passes, and prints the partition key's line", async () => {
    const { url } = await startDaprs();
    const { code, out } = await run(["--endpoint", url, "--key-env", "COSMOS_KEY"], { COSMOS_KEY: emulatorKey });
    expect(code).toBe(0);
    expect(out).toMatch(/^ok {4}partition key {2}\/partitionKey$/m);
  });

  test("exits with 1 when the database is missing", async () => {
    const { url } = await start();
    const { code, out } = await run(["--endpoint", url, "--key-env", "COSMOS_KEY"], { COSMOS_KEY: emulatorKey });
    expect(code).toBe(1);
    expect(out).toMatch(/^fix {3}database {7}dapr-db is missing\n +run this again with --fix$/m);
  });

  test.each([
    ["without an endpoint", [], "--endpoint must be"],
    ["with an unknown option", ["--endpont", "https://a.documents.azure.com"], "--endpont"],
    ["with plain http to another machine", ["--endpoint", "http://a.documents.azure.com"], "--endpoint must be"],
    [
      "with an environment variable that is not set",
      ["--endpoint", "https://a.documents.azure.com", "--key-env", "NO_KEY"],
      "NO_KEY",
    ],
  ])("exits with 2 and prints its usage when called %s", async (_, args, words) => {
    const { code, err } = await run(args);
    expect(code).toBe(2);
    expect(err).toContain(words);
    expect(err).toContain("npm run cosmos:check -- --endpoint URL");
  });

  test("prints its usage for --help", async () => {
    const { code, out } = await run(["--help"]);
    expect(code).toBe(0);
    expect(out).toContain("--key-env NAME");
  });

  // "dev" skips the metadata service, which the machine that runs this test may have.
  const signedOut = { AZURE_TOKEN_CREDENTIALS: "dev" };

  test("reports that this machine is not signed in", async () => {
    const { url } = await startDaprs();
    const { code, out } = await run(["--endpoint", url], signedOut);
    expect(code).toBe(1);
    expect(out).toMatch(/^FAIL {2}sign-in .*\n +az login\n.*--key-env COSMOS_KEY/);
  });

  const silent: [string, () => Promise<string>, string][] = [
    ["refuses connections", async () => "http://127.0.0.1:1/", "ECONNREFUSED"],
    ["drops the packets of a new connection", startDeaf, "timeout"],
    ["does not exist", async () => "https://nowhere.invalid/", "ENOTFOUND|EAI_AGAIN"],
  ];

  test.each(silent)("reports an endpoint that %s", async (_, endpoint, reason) => {
    const args = ["--endpoint", await endpoint(), "--key-env", "COSMOS_KEY"];
    const { code, out } = await run(args, { COSMOS_KEY: emulatorKey });
    expect(code).toBe(1);
    expect(out).toMatch(new RegExp(`^FAIL {2}account .* does not respond \\((${reason})\\)`));
  });

  describe("once its modules are loaded", () => {
    afterEach(() => vi.unstubAllEnvs());

    /** Runs the check of these arguments in this process. */
    async function measureCheck(args: string[], env: Record<string, string>): Promise<number> {
      for (const [name, value] of Object.entries({ PATH: "", ...env })) vi.stubEnv(name, value);
      const options = readOptions(args, process.env) ?? expect.fail();
      return measure(async () => expect(faults(await checkCosmos(options))).toHaveLength(1));
    }

    test("reports within 2 s that this machine is not signed in", async () => {
      const { url } = await startDaprs();
      expect(await measureCheck(["--endpoint", url], signedOut)).toBeLessThan(2_000);
    });

    test.each(silent)("reports within 2 s an endpoint that %s", async (_, endpoint) => {
      const args = ["--endpoint", await endpoint(), "--key-env", "COSMOS_KEY"];
      expect(await measureCheck(args, { COSMOS_KEY: emulatorKey })).toBeLessThan(2_000);
    });
  });

  test("says within 2 s that it waits for an endpoint that never responds, and fails", async () => {
    const { url, connected } = await startSilent();
    const child = spawnCheck(["--endpoint", url, "--key-env", "COSMOS_KEY"], { COSMOS_KEY: emulatorKey });
    const noted = once(createInterface(child.stderr), "line");
    await connected;
    expect(await measure(() => noted)).toBeLessThan(2_000);
    const [note] = await noted;
    expect(note).toMatch(/^http:\S+ is slow; waiting up to 5 s for a response/);
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    expect(code).toBe(1);
    expect(out).toMatch(/^FAIL {2}account .* does not respond \(timeout\)/);
  });

  test("prints no key when the key is wrong or the endpoint refuses connections", async () => {
    const key = Buffer.from("a secret that is not this account's").toString("base64");
    const { url } = await startDaprs();
    for (const endpoint of [url, "http://127.0.0.1:1/"]) {
      const { out, err } = await run(["--endpoint", endpoint, "--key-env", "COSMOS_KEY"], { COSMOS_KEY: key });
      expect(out + err).not.toContain(key);
    }
  });
});

async function start(options?: CosmosSimulatorOptions): Promise<CosmosSimulator> {
  const cosmos = await startCosmosSimulator({ tenant, ...options });
  started.push(cosmos);
  return cosmos;
}

async function startDaprs(options?: CosmosSimulatorOptions): Promise<CosmosSimulator> {
  const cosmos = await start(options);
  cosmos.createContainer("dapr-db", "statestore");
  return cosmos;
}

/** Starts a server that accepts connections and sends nothing. `connected` resolves at the first connection. */
async function startSilent(): Promise<{ url: string; connected: Promise<unknown> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket.on("error", () => {}))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const connected = once(server, "connection");
  started.push({
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on a port");
  return { url: `http://127.0.0.1:${address.port}`, connected };
}

/**
 * Starts a server whose queue of new connections is full, so that the kernel drops the packets of further ones, as a
 * firewall does; returns its URL.
 */
async function startDeaf(): Promise<string> {
  const script = `const server = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 },
    () => require("node:fs").writeSync(1, server.address().port + "\\n") && Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))`;
  const child = spawn(process.execPath, ["--eval", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = await once(createInterface(child.stdout), "line");
  const sockets = Array.from({ length: 4 }, () => connect(Number(port), "127.0.0.1").on("error", () => {}));
  started.push({
    async close() {
      for (const socket of sockets) socket.destroy();
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  });
  await once(sockets[1] ?? child, "connect");
  return `http://127.0.0.1:${port}/`;
}

function check({ url: endpoint, key }: CosmosSimulator, options: Partial<CheckOptions> = {}): Promise<Finding[]> {
  return checkCosmos({ endpoint, database: "dapr-db", container: "statestore", auth: { key }, fix: false, ...options });
}

async function find(cosmos: CosmosSimulator, name: string): Promise<Finding | undefined> {
  return (await check(cosmos)).find((finding) => finding.check === name);
}

function faults(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ status }) => status !== "ok");
}

/** The data role that the Bicep template gives state-api's identity. */
function onContainer(principal: string): RoleAssignment {
  return { principal, scope: "/dbs/dapr-db/colls/statestore" };
}

function signedInAs(oid: string): CheckOptions["auth"] {
  return { credential: { getToken: async () => ({ token: signToken(oid), expiresOnTimestamp: Date.now() + 60_000 }) } };
}

/** Runs the command as npm does, on a machine without az and without an identity. */
async function run(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; out: string; err: string }> {
  const child = spawnCheck(args, env);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { code, out, err };
}

function spawnCheck(args: string[], env: Record<string, string>) {
  return spawn(process.execPath, ["tools/cosmos-check/cosmos-check.ts", ...args], { env: { PATH: "", ...env } });
}
