// Tests the service as a process: each way to sign in, its start and its shutdown. Each way to sign in has a process of
// its own, because @azure/msal-node detects the source of managed identities once per process.
import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { identityHeader } from "../../../stand-ins/azure/defaults.ts";
import { sampleIdentity, sampleSubscription } from "../../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../../stand-ins/azure/start.ts";
import { decode } from "../../../stand-ins/azure/tokens.ts";
import { spawn } from "../../../tools/processes/spawn.ts";
import { type FederatedIssuer, startFederatedIssuer, subject } from "../../support/federated-issuer.ts";
import { inProcess } from "../../support/in-process.ts";
import { freePorts, type Process, root, startService } from "../../support/processes.ts";
import { measure } from "../../support/stopwatch.ts";

const user = { clientId: "00000000-0000-0000-0000-0000000000c2", objectId: "00000000-0000-0000-0000-0000000000b2" };
const app = { clientId: "00000000-0000-0000-0000-0000000000c3", objectId: "00000000-0000-0000-0000-0000000000b3" };
const names = sampleSubscription.groups.map(({ name }) => name);
const folder = mkdtempSync(join(tmpdir(), "group-lister-"));
const tokenFile = join(folder, "token");

let issuer: FederatedIssuer;
let azure: Azure;
let service: Process | undefined;
beforeAll(async () => {
  issuer = await startFederatedIssuer();
});
beforeEach(async () => {
  const federated = { issuer: issuer.issuer, subject };
  azure = await startAzure({
    record: true,
    userAssigned: [user],
    applications: [{ ...app, secret: "right", federatedCredentials: [federated] }],
  });
  writeFileSync(tokenFile, issuer.token());
});
afterEach(async () => {
  await service?.end("SIGKILL");
  service = undefined;
  await azure.close();
});
afterAll(() => {
  issuer.close();
  rmSync(folder, { recursive: true });
});

/** An environment without an identity: no variables of this machine, no command line tools, no IMDS. */
const nothing = () => ({
  ...Object.fromEntries(
    Object.keys(process.env).flatMap((name) => (/^(AZURE|IDENTITY|MSI)_/.test(name) ? [[name, ""]] : [])),
  ),
  PATH: folder,
  AZURE_POD_IDENTITY_AUTHORITY_HOST: "http://127.0.0.1:9",
  AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
  NODE_EXTRA_CA_CERTS: azure.caFile,
});
const containerApps = () => ({
  ...nothing(),
  IDENTITY_ENDPOINT: `${azure.url}/msi/token`,
  IDENTITY_HEADER: identityHeader,
});
const entra = () => ({
  ...nothing(),
  AZURE_AUTHORITY_HOST: azure.httpsUrl,
  AZURE_TENANT_ID: azure.tenantId,
  AZURE_CLIENT_ID: app.clientId,
});
const secret = () => ({ ...entra(), AZURE_CLIENT_SECRET: "right" });
const workload = () => ({ ...entra(), AZURE_FEDERATED_TOKEN_FILE: tokenFile });

/** Starts the service with a timeout that a busy machine does not reach, unless `env` has another. */
async function start(env: Record<string, string>, until = "/readyz"): Promise<Process> {
  service = await startService("group-lister", { AZURE_TIMEOUT_MS: "10000", ...env }, until);
  return service;
}
/** The default. */
const impatient = { AZURE_TIMEOUT_MS: "1500" };
const withClock = { NODE_OPTIONS: "--import ./test/support/shift-clock.ts" };
/** Moves the clock of a process with `withClock` six minutes ahead. */
async function shiftClock(): Promise<void> {
  process.kill(service?.pid ?? 0, "SIGUSR2");
  await expect.poll(() => service?.output()).toContain("the clock is six minutes ahead");
}
async function get(path: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${service?.origin}${path}`, { headers });
  const body = JSON.parse(await response.text().then((text) => (text === "ok" ? '"ok"' : text)));
  return { status: response.status, body, headers: response.headers };
}
/** Every request to the service queries Azure, and gets the error when that fails. */
const uncached = { GROUPS_MAX_AGE_MS: "0", GROUPS_MAX_STALE_MS: "0" };
const details = () =>
  (service?.output() ?? "").split("\n").flatMap((line) => /"details":"(.*?)"[,}]/.exec(line)?.[1] ?? []);
const callers = () => new Set(azure.requests.filter(({ part }) => part === "arm").map(({ token }) => token?.clientId));
const requestsTo = (wanted: string) => azure.requests.filter(({ part }) => part === wanted);

describe("sign-in of the process", () => {
  const imds = () => ({ ...nothing(), AZURE_POD_IDENTITY_AUTHORITY_HOST: azure.url });
  test.each([
    ["the system-assigned identity in Container Apps", containerApps, sampleIdentity.clientId, "identity"],
    [
      "the user-assigned identity of AZURE_CLIENT_ID in Container Apps",
      () => ({ ...containerApps(), AZURE_CLIENT_ID: user.clientId }),
      user.clientId,
      "identity",
    ],
    ["the identity that AAD Pod Identity has bound to the pod", imds, user.clientId, "imds"],
    [
      "the pod's identity of AZURE_CLIENT_ID",
      () => ({ ...imds(), AZURE_CLIENT_ID: user.clientId }),
      user.clientId,
      "imds",
    ],
    ["the application that trusts the federated token (workload identity)", workload, app.clientId, "entra"],
    ["the application of a client secret", secret, app.clientId, "entra"],
  ])("signs in as %s", async (_name, env, clientId, part) => {
    await start(env());
    expect((await get("/groupz")).body).toEqual(names);
    expect(callers()).toEqual(new Set([clientId]));
    expect(requestsTo(part).filter(({ status }) => status === 200).length).toBeGreaterThan(0);
    expect(service?.output()).not.toMatch(/eyJ|"level":"(warn|error)"/);
  });

  test("signs in as the user of the Azure CLI, and returns 504 until az has returned a token", async () => {
    const url = `${azure.url}/msi/token?api-version=2019-08-01&resource=https://management.azure.com`;
    const response = await fetch(url, { headers: { "X-IDENTITY-HEADER": identityHeader } });
    const { access_token: accessToken, expires_on } = (await response.json()) as Record<string, string>;
    const printed = JSON.stringify({ accessToken, expires_on: Number(expires_on), expiresOn: "", tokenType: "Bearer" });
    const az = join(folder, "az");
    const open = join(folder, "az-may-print");
    writeFileSync(az, `#!/bin/sh\nuntil [ -e '${open}' ]; do /bin/sleep 0.1; done\necho '${printed}'\n`);
    chmodSync(az, 0o755);
    try {
      await start({ ...nothing(), ...impatient }, "/healthz");
      const waited = await get("/groupz");
      expect(waited).toMatchObject({ status: 504, body: { type: "urn:problem:credential-slow" } });
      writeFileSync(open, "");
      await expect.poll(() => get("/groupz").then(({ status }) => status), { timeout: 30_000 }).toBe(200);
    } finally {
      rmSync(az);
    }
  });

  test("requests tokens for the resource of the cloud or of AZURE_AD_RESOURCE", async () => {
    for (const [env, audience] of [
      [{ AZURE_ENVIRONMENT: "AzureChinaCloud" }, "https://management.chinacloudapi.cn"],
      [{ AZURE_AD_RESOURCE: "https://management.core.windows.net/" }, "https://management.core.windows.net/"],
    ] as const) {
      await azure.close();
      azure = await startAzure({ record: true, audiences: [audience.replace(/\/$/, "")] });
      await start({ ...containerApps(), ...env });
      expect((await get("/groupz")).body).toEqual(names);
      expect(requestsTo("identity")[0]?.path).toContain(`resource=${encodeURIComponent(audience)}`);
      await service?.end();
    }
  });
});

describe("without a usable identity", () => {
  test("/healthz returns 200 while /groupz and /readyz return 503 within 2 s, and only the log names each credential tried", async () => {
    await start({ ...nothing(), ...withClock, ...impatient }, "/healthz");
    // The first search loads the SDK. Its result is repeated for 1 s, so that the measured request would not search.
    await expect
      .poll(async () => (await get("/readyz")).status && details().join(), { timeout: 10_000 })
      .toContain("Azure CLI");
    await shiftClock();
    const searches = details().length;
    const responses: Awaited<ReturnType<typeof get>>[] = [];
    const milliseconds = await measure(async () => responses.push(await get("/groupz"), await get("/readyz")));
    expect(milliseconds).toBeLessThan(2_000);
    expect(details().length).toBeGreaterThan(searches);
    const [{ status, body } = expect.fail(), ready] = responses;
    expect({ status, type: body.type }).toEqual({ status: 503, type: "urn:problem:no-credential" });
    expect(body.detail).toMatch(/az login.*managed identity.*AZURE_CLIENT_ID.*The log has what was tried\.$/);
    const reasons = (details().at(-1) ?? "").split("\\n");
    for (const name of [
      "EnvironmentCredential",
      "ManagedIdentityCredential",
      "Azure CLI",
      "PowerShell",
      "Developer CLI",
    ]) {
      expect(reasons.filter((line: string) => line.startsWith("- ") && line.includes(name))).toHaveLength(1);
      expect(body.detail).not.toContain(name);
    }
    expect(ready).toMatchObject({
      status: 503,
      body: { type: "urn:problem:not-ready", detail: body.detail },
    });
    expect(service?.output()).toContain("az login");
    expect(requestsTo("arm")).toEqual([]);
  });

  test.each([
    ["is unknown to Container Apps", () => ({ ...containerApps(), AZURE_CLIENT_ID: app.clientId }), /No User Assigned/],
    [
      "is not bound to the pod",
      () => ({ ...nothing(), AZURE_POD_IDENTITY_AUTHORITY_HOST: azure.url, AZURE_CLIENT_ID: app.clientId }),
      /AzureAssignedIdentity/,
    ],
  ])("returns 503 and logs the provider's error when the identity %s", async (_what, env, reason) => {
    await start(env(), "/healthz");
    const { status, body } = await get("/groupz");
    expect({ status, type: body.type }).toEqual({ status: 503, type: "urn:problem:no-credential" });
    expect(body.detail).not.toMatch(reason);
    await expect.poll(() => details().join()).toMatch(reason);
  });

  const federated = (claims: Record<string, unknown>) => {
    writeFileSync(tokenFile, issuer.token(claims));
    return workload();
  };
  const another = "system:serviceaccount:default:another";
  test.each([
    ["a wrong client secret", () => ({ ...secret(), AZURE_CLIENT_SECRET: "wrong" }), /AADSTS7000215/],
    ["a secret with an unknown client id", () => ({ ...secret(), AZURE_CLIENT_ID: user.clientId }), /AADSTS700016/],
    [
      "a federated token with another subject",
      () => federated({ sub: another }),
      new RegExp(`AADSTS700213.*'${another}'`),
    ],
    ["a federated token with another audience", () => federated({ aud: "another" }), /AADSTS700212.*'another'/],
    [
      "a federated token with an unknown client id",
      () => ({ ...workload(), AZURE_CLIENT_ID: user.clientId }),
      /AADSTS700016/,
    ],
  ])(
    "returns 502 with Entra ID's code, logs only Entra ID's error, and is not ready, when Entra ID rejects %s",
    async (_what, env, reason) => {
      await start(env(), "/healthz");
      const { status, body } = await get("/groupz");
      expect({ status, type: body.type, title: body.title }).toEqual({
        status: 502,
        type: "urn:problem:credential-refused",
        title: "Entra ID rejected the credential",
      });
      expect(body.detail).toMatch(/^Fix this credential \(AADSTS\d+\), .* The log has Entra ID's message\.$/);
      await expect.poll(() => details().at(-1)).toMatch(reason);
      expect(details().at(-1)).not.toContain("\\n");
      expect(await get("/readyz")).toMatchObject({
        status: 503,
        body: { type: "urn:problem:not-ready", detail: body.detail },
      });
    },
  );

  test("returns 502 with the message of az when Entra ID rejects its user", async () => {
    const message = "AADSTS70043: The refresh token has expired. Please run: az login --scope https://example/.default";
    const az = join(folder, "az");
    writeFileSync(az, `#!/bin/sh\necho 'ERROR: ${message}' >&2\nexit 1\n`);
    chmodSync(az, 0o755);
    try {
      await start(nothing(), "/healthz");
      const problem = async () => (await get("/groupz")).body;
      await expect.poll(problem, { timeout: 10_000 }).toMatchObject({
        type: "urn:problem:credential-refused",
        detail: expect.stringContaining("(AADSTS70043)"),
      });
      await expect.poll(() => details().at(-1)).toBe(`- ERROR: ${message}`);
    } finally {
      rmSync(az);
    }
  });

  test("returns 5xx within 2 s when the identity endpoint does not respond, and recovers without a restart", async () => {
    azure.latencyMs.identity = Number.POSITIVE_INFINITY;
    await start({ ...containerApps(), AZURE_TIMEOUT_MS: "500" }, "/healthz");
    for (const path of ["/groupz", "/readyz"]) {
      const milliseconds = await measure(async () => expect((await get(path)).status).toBeGreaterThanOrEqual(503));
      expect(milliseconds).toBeLessThan(2_000);
    }
    const detail = async () => (await get("/readyz")).status && details().join();
    await expect.poll(detail, { timeout: 10_000 }).toContain(`- ${azure.url} did not respond: timeout after 500 ms`);
    azure.latencyMs.identity = 0;
    await expect.poll(() => get("/groupz").then(({ status }) => status), { timeout: 10_000 }).toBe(200);
  });
});

describe("tokens", () => {
  const tokenIds = () => new Set(requestsTo("arm").map(({ token }) => token?.id));

  test("one token serves five lists", async () => {
    await start({ ...containerApps(), ...uncached });
    for (let i = 0; i < 5; i++) expect((await get("/groupz")).status).toBe(200);
    expect(requestsTo("identity")).toHaveLength(1);
    expect(tokenIds().size).toBe(1);
  });

  test("tokens are renewed after they expire, despite outages of the identity endpoint before and during the renewal", async () => {
    azure.tokenLifetime = 110; // seconds; the service renews a token two minutes before it expires
    await start({ ...containerApps(), ...uncached, ...withClock, ...impatient });
    expect((await get("/groupz")).status).toBe(200);
    azure.failNext("identity", 1, { status: 500 });
    expect((await get("/groupz")).status).toBe(200); // the token is still valid
    azure.latencyMs.identity = Number.POSITIVE_INFINITY;
    expect((await get("/groupz")).status).toBe(200);
    await shiftClock();
    expect((await get("/groupz")).status).toBeGreaterThanOrEqual(503);
    azure.tokenLifetime = 3_600;
    azure.latencyMs.identity = 0;
    await expect.poll(() => get("/groupz").then(({ status }) => status), { timeout: 10_000 }).toBe(200);
    expect(tokenIds().size).toBeGreaterThan(1);
    expect(requestsTo("arm").filter(({ status }) => status === 401)).toEqual([]);
  });

  test.each([
    ["an application", secret],
    ["a workload identity", workload],
  ])("tokens of %s are replaced after Azure has revoked them, and the request succeeds", async (_what, env) => {
    await start({ ...env(), ...uncached });
    expect((await get("/groupz")).status).toBe(200);
    azure.revokeTokens();
    expect((await get("/groupz")).status).toBe(200);
    expect(requestsTo("arm").filter(({ status }) => status === 401)).toHaveLength(1);
    expect(tokenIds().size).toBe(2);
  });

  test("a revoked token of a managed identity leads to the last list, or to 502 with advice for a no-cache request", async () => {
    await start({ ...containerApps(), ...withClock, GROUPS_MAX_AGE_MS: "0" });
    expect((await get("/groupz")).status).toBe(200);
    azure.revokeTokens();
    const stale = await get("/groupz");
    expect(stale.body).toEqual(names);
    expect(stale.headers.get("Cache-Status")).toMatch(/^group-lister; hit; ttl=-?\d+; detail=token-refused$/);
    await shiftClock(); // for 2 s, the listing counts as new
    const forced = await get("/groupz", { "Cache-Control": "no-cache" });
    expect(forced).toMatchObject({ status: 502, body: { detail: expect.stringContaining("restart") } });
  });

  test("tokens are requested with the new federated token after the token file has been rotated", async () => {
    azure.tokenLifetime = 400; // seconds; about to expire once the clock has moved six minutes ahead
    const first = issuer.token();
    writeFileSync(tokenFile, first);
    await start({ ...workload(), ...uncached, ...withClock });
    expect((await get("/groupz")).status).toBe(200);
    const second = issuer.token();
    writeFileSync(tokenFile, second);
    await shiftClock();
    const assertions = () =>
      requestsTo("entra")
        .map(({ assertionId }) => assertionId)
        .filter(Boolean);
    await expect
      .poll(
        async () => {
          expect((await get("/groupz")).status).toBe(200);
          return new Set(assertions());
        },
        { timeout: 10_000 },
      )
      .toEqual(new Set([decode(first)?.claims.jti, decode(second)?.claims.jti]));
  });
});

test("a response of Azure without end leads to 502, and the memory of the process stays below 256 MiB", async () => {
  const { key, cert } = await loadKeys();
  const block = Buffer.alloc(1_048_576, " ");
  const endless = createServer({ key, cert }, (_req, res) => {
    const send = () => {
      while (!res.closed && res.write(block));
      res.once("drain", send);
    };
    send();
  }).listen(0, "127.0.0.1");
  await once(endless, "listening");
  const port = (endless.address() as AddressInfo).port;
  try {
    await start({ ...containerApps(), AZURE_RESOURCE_MANAGER_ENDPOINT: `https://127.0.0.1:${port}` });
    let peak = 0;
    const timer = setInterval(() => {
      const status = readFileSync(`/proc/${service?.pid}/status`, "utf8");
      peak = Math.max(peak, Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024);
    }, 20);
    const { status, body } = await get("/groupz");
    clearInterval(timer);
    expect({ status, title: body.title }).toEqual({
      status: 502,
      title: "Azure Resource Manager returned a response that is too large",
    });
    expect(peak).toBeGreaterThan(0);
    expect(peak).toBeLessThan(256);
  } finally {
    endless.closeAllConnections();
    endless.close();
  }
});

describe("a private CA", () => {
  test.each([
    ["of Azure Resource Manager", containerApps, 502, /UNABLE_TO_VERIFY_LEAF_SIGNATURE[\s\S]*NODE_EXTRA_CA_CERTS/],
    ["of Entra ID", secret, 502, /azure-unreachable[\s\S]*NODE_EXTRA_CA_CERTS/],
  ])(
    "a private CA %s that is not trusted leads to 502 with advice, and to TLS's error code in the log",
    async (_what, env, status, text) => {
      await start({ ...env(), NODE_EXTRA_CA_CERTS: "" }, "/healthz");
      const response = await get("/groupz");
      expect(response.status).toBe(status);
      expect(JSON.stringify(response.body)).toMatch(text);
      await expect.poll(() => service?.output()).toContain("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    },
  );
});

describe("group-lister with the Azure stand-in", () => {
  const shell = {
    AZURE_CLIENT_ID: app.clientId,
    AZURE_TENANT_ID: "00000000-0000-0000-0000-00000000dead",
    AZURE_CLIENT_SECRET: "of the real Azure",
    AZURE_SUBSCRIPTION_ID: "00000000-0000-0000-0000-00000000dead",
    NODE_OPTIONS: "--import ./stand-ins/azure/env.ts",
  };

  test("starts before the stand-in, ignores the shell's settings for the real Azure, and marks the groups as sample data", async () => {
    const [http, https] = await freePorts(2);
    const ports = { AZURE_STAND_IN_PORT: `${http}`, AZURE_STAND_IN_HTTPS_PORT: `${https}` };
    await start({ ...nothing(), ...shell, ...ports }, "/healthz");
    expect((await get("/readyz")).status).toBe(503);
    const standIn: ChildProcess = spawn(process.execPath, ["stand-ins/azure/server.ts"], {
      cwd: root,
      env: { ...process.env, ...ports, PORT: `${http}` },
    });
    try {
      await expect.poll(() => get("/readyz").then(({ status }) => status), { timeout: 30_000 }).toBe(200);
      const { body, headers } = await get("/groupz");
      expect(body).toEqual(names);
      expect(headers.get("Sample-Data")).toBe("azure-stand-in");
      await expect.poll(() => service?.output()).toContain('listing subscription \\"Sample subscription\\"');
    } finally {
      standIn.kill();
      await once(standIn, "exit");
    }
  });

  test("uses the configured Azure with AZURE_STAND_IN=off", async () => {
    const env = { ...secret(), AZURE_STAND_IN: "off", NODE_OPTIONS: shell.NODE_OPTIONS };
    await start(env);
    expect(callers()).toEqual(new Set());
    expect((await get("/groupz")).body).toEqual(names);
    expect(callers()).toEqual(new Set([app.clientId]));
  });
});

describe("the process", () => {
  test("finishes the request in flight on SIGTERM and exits with 0", async () => {
    const lister = await start({ ...containerApps(), ...uncached });
    await get("/groupz");
    azure.latencyMs.arm = 600;
    const before = requestsTo("arm").length;
    const waiting = get("/groupz");
    await expect.poll(() => requestsTo("arm").length, { timeout: 5_000 }).toBeGreaterThan(before);
    const ended = lister.end("SIGTERM");
    const { status, body } = await waiting;
    expect({ status, body }).toEqual({ status: 200, body: names });
    expect(await ended).toBe(0);
    service = undefined;
  });

  test("exits with 1 and reports all faults of its configuration", () => {
    const { status, stderr } = spawnSync(process.execPath, ["services/group-lister/server.ts"], {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, PORT: "x", AZURE_ENVIRONMENT: "Mars" },
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/PORT="x"[\s\S]*AZURE_ENVIRONMENT="Mars"/);
  });

  test("is ready, and returns 502, when it has a token but Azure Resource Manager is unreachable", async () => {
    const env = { ...containerApps(), AZURE_RESOURCE_MANAGER_ENDPOINT: "https://127.0.0.1:9" };
    await inProcess("group-lister", env, async (get) => {
      await expect.poll(() => get("/readyz").then(({ status }) => status), { timeout: 10_000 }).toBe(200);
      expect((await get("/groupz")).status).toBe(502);
      expect(await (await get("/metrics")).text()).toContain("groups_age_seconds");
    });
  });
});
