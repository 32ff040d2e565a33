// The Azure stand-in must reject the requests that Azure rejects. Otherwise a faulty client would pass the tests.
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { loadKeys } from "../../stand-ins/azure/certificate.ts";
import { identityHeader } from "../../stand-ins/azure/defaults.ts";
import { throttled } from "../../stand-ins/azure/resource-manager-responses.ts";
import { sampleIdentity, sampleSubscription } from "../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { decode } from "../../stand-ins/azure/tokens.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { type FederatedIssuer, startFederatedIssuer, subject } from "../support/federated-issuer.ts";
import { freePorts, root } from "../support/processes.ts";

const resource = "https://management.azure.com";
const user = { clientId: "00000000-0000-0000-0000-0000000000c2", objectId: "00000000-0000-0000-0000-0000000000b2" };
const app = { clientId: "00000000-0000-0000-0000-0000000000c3", objectId: "00000000-0000-0000-0000-0000000000b3" };

const folder = mkdtempSync(join(tmpdir(), "azure-stand-in-"));
let issuer: FederatedIssuer;
let azure: Azure;
beforeAll(async () => {
  issuer = await startFederatedIssuer();
  azure = await startAzure({
    folder: join(folder, "azure"),
    record: true,
    userAssigned: [user],
    applications: [
      { ...app, secret: "right", federatedCredentials: [{ issuer: issuer.issuer, subject }] },
      {
        clientId: "keys-away",
        objectId: "x",
        federatedCredentials: unusableIssuers().map((url) => ({ issuer: url, subject })),
      },
    ],
  });
  const { ca } = await loadKeys(join(folder, "azure"));
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
});
afterAll(async () => {
  await azure.close();
  issuer.close();
  rmSync(folder, { recursive: true });
});

/** Issuers without a discovery document, on http, and whose document names an issuer without the slash. */
const unusableIssuers = () => ["https://127.0.0.1:9", "http://issuer.example", `${issuer.issuer}/`];

async function get(url: string, headers: Record<string, string> = {}) {
  const response = await fetch(url, { headers });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json");
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

describe("the managed identity endpoint of Container Apps", () => {
  const ask = (
    query: Record<string, string>,
    headers: Record<string, string> = { "X-IDENTITY-HEADER": identityHeader },
  ) =>
    get(`${azure.url}/msi/token?${new URLSearchParams({ "api-version": "2019-08-01", resource, ...query })}`, headers);

  test("issues a token with owner, audience and expiry for the system-assigned identity", async () => {
    const { status, body } = await ask({});
    expect(status).toBe(200);
    expect(body).toMatchObject({ client_id: sampleIdentity.clientId, resource, token_type: "Bearer" });
    const claims = decode(body.access_token)?.claims;
    expect(claims).toMatchObject({ aud: resource, appid: sampleIdentity.clientId, oid: sampleIdentity.objectId });
    expect(claims).toMatchObject({ tid: azure.tenantId, exp: Number(body.expires_on) });
    expect(Number(body.expires_on)).toBeGreaterThan(Date.now() / 1000 + 3_000);
  });
  test("issues a token for a user-assigned identity, whose client id is not case-sensitive", async () => {
    expect((await ask({ client_id: user.clientId.toUpperCase() })).body.client_id).toBe(user.clientId);
  });
  test("rejects a wrong header, version, resource or client id", async () => {
    expect((await ask({}, {})).status).toBe(401);
    expect((await ask({}, { "X-IDENTITY-HEADER": "guess" })).status).toBe(401);
    expect((await ask({ "api-version": "2017-09-01" })).status).toBe(400);
    expect((await ask({ resource: "" })).status).toBe(400);
    expect((await ask({ resource: "https://elsewhere.example" })).status).toBe(400);
    expect(await ask({ client_id: app.clientId })).toMatchObject({
      status: 400,
      body: { message: expect.stringMatching(/^No User Assigned or Delegated Managed Identity found/) },
    });
  });
});

describe("IMDS of AAD Pod Identity", () => {
  const ask = (query: Record<string, string>, headers: Record<string, string> = { Metadata: "true" }) =>
    get(
      `${azure.url}/metadata/identity/oauth2/token/?${new URLSearchParams({ "api-version": "2018-02-01", resource, ...query })}`,
      headers,
    );

  test("issues a token for the pod's identity, with or without its client id", async () => {
    for (const query of [{}, { client_id: user.clientId }]) {
      const { status, body } = await ask(query);
      expect(status).toBe(200);
      expect(decode(body.access_token)?.claims.appid).toBe(user.clientId);
      expect(body).toMatchObject({
        expires_in: "3600",
        expires_on: expect.stringMatching(/^\d+$/),
        token_type: "Bearer",
      });
    }
  });
  test("returns 404 for a client id that is not bound to the pod, and 400 for a wrong header, version or resource", async () => {
    expect(await ask({ client_id: app.clientId })).toMatchObject({
      status: 404,
      body: expect.stringMatching(/^no AzureAssignedIdentity/),
    });
    expect((await ask({}, {})).status).toBe(400);
    expect((await ask({ "api-version": "2017" })).status).toBe(400);
    expect((await ask({ resource: "" })).status).toBe(400);
    expect((await ask({ resource: "https://elsewhere.example" })).status).toBe(400);
  });
});

describe("Entra ID", () => {
  const authority = () => `${azure.httpsUrl}/${azure.tenantId}`;
  async function signIn(form: Record<string, string>, url = `${authority()}/oauth2/v2.0/token`) {
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: app.clientId,
      scope: `${resource}/.default`,
      ...form,
    });
    const response = await fetch(url, { method: "POST", body });
    return { status: response.status, body: JSON.parse(await response.text()) };
  }
  const assertion = (client_assertion: string) => ({
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion,
  });
  const refused = (status: number, code: number) => ({
    status,
    body: { error_codes: [code], error_description: expect.stringContaining(`AADSTS${code}`) },
  });

  test("publishes its endpoints and keys", async () => {
    const { body } = await get(`${authority()}/v2.0/.well-known/openid-configuration`);
    expect(body.token_endpoint).toBe(`${authority()}/oauth2/v2.0/token`);
    expect((await get(body.jwks_uri)).body.keys[0]).toMatchObject({ kty: "RSA", kid: expect.any(String) });
  });
  test("issues a token for the right client secret", async () => {
    const { status, body } = await signIn({ client_secret: "right" });
    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: "Bearer", expires_in: 3600 });
    expect(decode(body.access_token)?.claims).toMatchObject({ appid: app.clientId, aud: resource });
    expect(decode(body.access_token)?.claims.xms_cc).toBeUndefined();
  });
  test("rejects a wrong secret, application, scope, resource, grant or tenant with Entra ID's error numbers", async () => {
    expect(await signIn({ client_secret: "wrong" })).toMatchObject(refused(401, 7000215));
    expect(await signIn({})).toMatchObject(refused(401, 7000218));
    expect(await signIn({ client_id: "nobody", client_secret: "right" })).toMatchObject(refused(400, 700016));
    expect(await signIn({ client_secret: "right", scope: resource })).toMatchObject(refused(400, 1002012));
    expect(await signIn({ client_secret: "right", scope: "https://x.example/.default" })).toMatchObject(
      refused(400, 500011),
    );
    expect(await signIn({ client_secret: "right", grant_type: "password" })).toMatchObject(refused(400, 70003));
    const elsewhere = `${azure.httpsUrl}/another-tenant/oauth2/v2.0/token`;
    expect(await signIn({ client_secret: "right" }, elsewhere)).toMatchObject(refused(400, 90002));
  });
  test("issues a token for a federated token with trusted issuer, subject and audience", async () => {
    const { status, body } = await signIn(assertion(issuer.token()));
    expect(status).toBe(200);
    expect(decode(body.access_token)?.claims.appid).toBe(app.clientId);
  });
  test("rejects a federated token with another issuer, subject or audience, out of its validity period, or forged", async () => {
    const now = Math.floor(Date.now() / 1000);
    const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const signInWith = (claims: Record<string, unknown>) => signIn(assertion(issuer.token(claims)));
    expect(await signInWith({ iss: "https://elsewhere.example" })).toMatchObject(refused(401, 700211));
    expect(await signInWith({ sub: subject.toUpperCase() })).toMatchObject(refused(401, 700213));
    expect(await signInWith({ aud: "api://else" })).toMatchObject(refused(401, 700212));
    expect(await signInWith({ exp: now - 1 })).toMatchObject(refused(401, 700024));
    expect(await signInWith({ exp: undefined })).toMatchObject(refused(401, 700024));
    expect(await signInWith({ nbf: now + 3_000 })).toMatchObject(refused(401, 700024));
    expect(await signIn(assertion("not.a.token"))).toMatchObject(refused(401, 50027));
    const forged = [
      issuer.token({}, { key: stranger }),
      issuer.token({}, { header: { kid: "k2" } }),
      issuer.token({}, { header: { alg: "none" } }),
    ];
    for (const token of forged) expect(await signIn(assertion(token))).toMatchObject(refused(401, 700027));
  });
  test("returns AADSTS50166 when the issuer is unreachable, not on https, or named differently by its document", async () => {
    for (const iss of unusableIssuers()) {
      const form = { ...assertion(issuer.token({ iss })), client_id: "keys-away" };
      expect(await signIn(form), iss).toMatchObject(refused(400, 50166));
    }
  });
});

describe("Azure Resource Manager", () => {
  const version = "2025-04-01";
  const groupsOf = (id: string) => `/subscriptions/${id}/resourcegroups?api-version=${version}`;
  async function token(query: Record<string, string> = {}) {
    const all = new URLSearchParams({ "api-version": "2019-08-01", resource, ...query });
    const { body } = await get(`${azure.url}/msi/token?${all}`, { "X-IDENTITY-HEADER": identityHeader });
    return String(body.access_token);
  }
  const ask = async (path: string, bearer?: string) =>
    get(azure.httpsUrl + path, { Authorization: `Bearer ${bearer ?? (await token())}` });
  afterEach(() => {
    azure.tokenLifetime = 3_600;
    azure.subscriptions = [sampleSubscription];
  });

  test("lists subscriptions and resource groups, marked as sample data", async () => {
    const { body } = await ask("/subscriptions?api-version=2022-12-01");
    expect(body.value).toEqual([
      expect.objectContaining({
        subscriptionId: sampleSubscription.id,
        displayName: "Sample subscription",
        state: "Enabled",
      }),
    ]);
    const groups = await ask(groupsOf(sampleSubscription.id));
    expect(groups.headers.get("Sample-Data")).toBe("azure-stand-in");
    expect(groups.body.value).toHaveLength(12);
    for (const { name } of groups.body.value) expect(name).toContain("sample");
    expect(groups.body.value[0]).toEqual({
      id: `/subscriptions/${sampleSubscription.id}/resourceGroups/rg-sample-aks-westeurope`,
      name: "rg-sample-aks-westeurope",
      type: "Microsoft.Resources/resourceGroups",
      location: "westeurope",
      tags: { "sample-data": "azure-stand-in" },
      properties: { provisioningState: "Succeeded" },
    });
    expect(groups.body.nextLink).toBeUndefined();
  });

  test("pages, and skips no group when another is deleted between two pages", async () => {
    const groups = Array.from({ length: 7 }, (_, index) => ({ name: `rg-${index}` }));
    azure.subscriptions = [{ ...sampleSubscription, groups }];
    const first = await ask(`${groupsOf(sampleSubscription.id)}&$top=3`);
    expect(first.body.nextLink).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/subscriptions\/.*skiptoken=/);
    azure.subscriptions = [{ ...sampleSubscription, groups: groups.slice(1) }];
    const second = await ask(first.body.nextLink.slice(azure.httpsUrl.length));
    expect(second.body.value.map(({ name }: { name: string }) => name)).toEqual(["rg-3", "rg-4", "rg-5"]);
    const third = await ask(second.body.nextLink.slice(azure.httpsUrl.length));
    expect(third.body).toEqual({ value: [expect.objectContaining({ name: "rg-6" })] });
  });

  const refused = (status: number, code: string) => ({
    status,
    body: { error: { code, message: expect.any(String) } },
  });

  test("rejects malformed requests with Azure's error codes", async () => {
    const groups = `/subscriptions/${sampleSubscription.id}/resourcegroups`;
    expect(await ask(groups)).toMatchObject(refused(400, "MissingApiVersionParameter"));
    expect(await ask(`${groups}?api-version=1999-01-01`)).toMatchObject(refused(400, "InvalidApiVersionParameter"));
    expect(await ask(`${groupsOf(sampleSubscription.id)}&$top=0`)).toMatchObject(refused(400, "InvalidQueryParameter"));
    expect(await ask(`${groupsOf(sampleSubscription.id)}&$skiptoken=x`)).toMatchObject(
      refused(400, "InvalidSkipToken"),
    );
    expect(await ask(groupsOf("not-a-uuid"))).toMatchObject(refused(400, "InvalidSubscriptionId"));
    expect(await ask(groupsOf("00000000-0000-0000-0000-000000000009"))).toMatchObject(
      refused(404, "SubscriptionNotFound"),
    );
    expect(await ask(`/providers?api-version=${version}`)).toMatchObject(refused(404, "InvalidResourceType"));
  });

  test("rejects forged, missing and expired tokens", async () => {
    const path = groupsOf(sampleSubscription.id);
    const good = await token();
    const [header = "", claims = "", signature = ""] = good.split(".");
    const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${claims}.`;
    const edited = Buffer.from(JSON.stringify({ ...decode(good)?.claims, oid: "another" })).toString("base64url");
    for (const forged of ["x", none, `${header}.${edited}.${signature}`, issuer.token()]) {
      expect(await ask(path, forged)).toMatchObject(refused(401, "InvalidAuthenticationToken"));
    }
    const without = await get(azure.httpsUrl + path);
    expect(without).toMatchObject(refused(401, "AuthenticationFailed"));
    expect(without.headers.get("WWW-Authenticate")).toMatch(/^Bearer authorization_uri=/);
    azure.tokenLifetime = -1;
    expect(await ask(path)).toMatchObject(refused(401, "ExpiredAuthenticationToken"));
  });

  test("rejects revoked tokens, with a claims challenge to clients that have declared support for it", async () => {
    const path = groupsOf(sampleSubscription.id);
    const plain = await token();
    const form = { grant_type: "client_credentials", client_id: app.clientId, client_secret: "right" };
    const claims = '{"access_token":{"xms_cc":{"values":["cp1"]}}}';
    const body = new URLSearchParams({ ...form, scope: `${resource}/.default`, claims });
    const response = await fetch(`${azure.httpsUrl}/${azure.tenantId}/oauth2/v2.0/token`, { method: "POST", body });
    const { access_token: capable } = (await response.json()) as { access_token: string };
    expect((await ask(path, plain)).status).toBe(200);
    azure.revokeTokens();
    const challenges = [(await ask(path, plain)).headers, (await ask(path, capable)).headers].map((headers) =>
      headers.get("WWW-Authenticate"),
    );
    expect(challenges[0]).toContain('error="invalid_token"');
    expect(challenges[1]).toContain('error="insufficient_claims", claims="');
    expect((await ask(path)).status).toBe(200);
  });

  test("rejects callers without the role Reader and tokens for another audience", async () => {
    const strict = await startAzure({ folder: join(folder, "azure"), readers: [], audiences: ["https://arm.example"] });
    try {
      const { body } = await get(`${strict.url}/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Farm.example`, {
        "X-IDENTITY-HEADER": identityHeader,
      });
      const own = { Authorization: `Bearer ${body.access_token}` };
      expect(await get(strict.httpsUrl + groupsOf(sampleSubscription.id), own)).toMatchObject(
        refused(403, "AuthorizationFailed"),
      );
      expect((await get(`${strict.httpsUrl}/subscriptions?api-version=${version}`, own)).body.value).toEqual([]);
      const other = { Authorization: `Bearer ${await token()}` };
      expect(await get(strict.httpsUrl + groupsOf(sampleSubscription.id), other)).toMatchObject(
        refused(401, "InvalidAuthenticationTokenAudience"),
      );
    } finally {
      await strict.close();
    }
  });

  test("fails or withholds responses on demand and records requests", async () => {
    azure.failNext("arm", 1, throttled(7));
    const response = await ask(groupsOf(sampleSubscription.id));
    expect(response).toMatchObject(refused(429, "SubscriptionRequestsThrottled"));
    expect(response.headers.get("Retry-After")).toBe("7");
    const bearer = await token();
    azure.latencyMs.arm = Number.POSITIVE_INFINITY;
    const signal = AbortSignal.timeout(200);
    await expect(fetch(azure.httpsUrl + groupsOf("x"), { signal })).rejects.toThrow(/abort|timeout/i);
    azure.latencyMs.arm = 0;
    expect((await ask(groupsOf(sampleSubscription.id), bearer)).status).toBe(200);
    expect(azure.requests.at(-1)).toMatchObject({
      part: "arm",
      method: "GET",
      path: groupsOf(sampleSubscription.id),
      status: 200,
      token: { id: decode(bearer)?.claims.uti, clientId: sampleIdentity.clientId },
    });
  });
});

describe("the keys", () => {
  test("the CA's private key is not stored, and only the owner can read the other private keys", async () => {
    const { ca, cert, caFile } = await loadKeys(join(folder, "azure"));
    const server = new X509Certificate(cert);
    expect(new X509Certificate(ca).ca).toBe(true);
    expect(server.ca).toBe(false);
    expect(server.checkIssued(new X509Certificate(ca))).toBe(true);
    expect(server.checkIP("127.0.0.1")).toBe("127.0.0.1");
    expect(server.checkHost("localhost")).toBe("localhost");
    expect(server.checkHost("management.azure.com")).toBeUndefined();
    const files = readdirSync(join(folder, "azure"));
    expect(files.toSorted()).toEqual(["ca.pem", "cert.pem", "key.pem", "token-key.pem"]);
    for (const name of files.filter((file) => file.endsWith("key.pem"))) {
      expect(statSync(join(folder, "azure", name)).mode & 0o777).toBe(0o600);
    }
    expect(readFileSync(caFile, "utf8")).toBe(ca);
  });

  test("ten processes that start at once get the same keys and leave no other files", async () => {
    const parent = join(folder, "at-once");
    const code = `const { loadKeys } = await import("./stand-ins/azure/certificate.ts");
      console.log((await loadKeys(${JSON.stringify(join(parent, "azure"))})).cert)`;
    const printed = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const child = spawn(process.execPath, ["--input-type=module", "-e", code], { cwd: root });
        let output = "";
        for await (const chunk of child.stdout) output += chunk;
        return output;
      }),
    );
    expect(printed[0]).toContain("BEGIN CERTIFICATE");
    expect(new Set(printed).size).toBe(1);
    expect(readdirSync(parent)).toEqual(["azure"]);
  });

  test("keys are replaced when they are broken, incomplete or about to expire, and kept otherwise", async () => {
    const own = join(folder, "renewed");
    const first = await loadKeys(own);
    expect(await loadKeys(own)).toEqual(first);
    writeFileSync(join(own, "cert.pem"), "broken");
    const second = await loadKeys(own);
    expect(second.cert).not.toBe(first.cert);
    rmSync(join(own, "key.pem"));
    const third = await loadKeys(own);
    expect(third.cert).not.toBe(second.cert);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 360 * 86_400_000 });
    expect((await loadKeys(own)).cert).not.toBe(third.cert);
    vi.useRealTimers();
  });
});

test("the process prints its origins on loopback, is ready, and exits with 0 on SIGTERM", async () => {
  const [http, https] = await freePorts(2);
  const child = spawn(process.execPath, ["stand-ins/azure/server.ts"], {
    cwd: root,
    env: { ...process.env, PORT: `${http}`, AZURE_STAND_IN_HTTPS_PORT: `${https}` },
  });
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  await expect.poll(() => output, { timeout: 10_000 }).toContain(`https://127.0.0.1:${https}`);
  expect(output).toContain("12 sample groups");
  expect(await get(`http://127.0.0.1:${http}/readyz`)).toMatchObject({ status: 200, body: "ok" });
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test.each(["PORT", "AZURE_STAND_IN_HTTPS_PORT"])(
  "the process names a taken %s in one line and exits with 1",
  async (taken) => {
    const owner = createServer().listen(0, "127.0.0.1");
    await once(owner, "listening");
    const { port } = owner.address() as AddressInfo;
    const child = spawn(process.execPath, ["stand-ins/azure/server.ts"], {
      cwd: root,
      env: { ...process.env, PORT: "0", AZURE_STAND_IN_HTTPS_PORT: "0", [taken]: `${port}` },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
    expect((await once(child, "close"))[0]).toBe(1);
    expect(output).toBe(`Port ${port} is taken. End the process that holds it, or set another port in dapr.yaml.\n`);
    owner.close();
  },
);
