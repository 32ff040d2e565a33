// The shipped component without a key, loaded by a real daprd with each identity that Azure gives a sidecar. Cosmos DB
// and Entra ID have their public names and certificates for them; Cosmos DB checks the signature of every token.
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { issue } from "../../../stand-ins/azure/certificate.ts";
import { identityHeader } from "../../../stand-ins/azure/defaults.ts";
import { type Azure, startAzure } from "../../../stand-ins/azure/start.ts";
import type { RoleAssignment } from "../../simulators/cosmos/auth.ts";
import { type CosmosSimulator, startCosmosSimulator } from "../../simulators/cosmos/simulator.ts";
import type { Tenant } from "../../simulators/cosmos/token.ts";
import { type FederatedIssuer, startFederatedIssuer } from "../../support/federated-issuer.ts";
import { type Process, resiliencyResources, startService, startSidecar } from "../../support/processes.ts";
import { startProxy, type Tunnels } from "../../support/proxy.ts";
import { tenant } from "../../support/tenant.ts";

const accountName = "sample-account.documents.azure.com";
const authority = "login.microsoftonline.com";
/** The identity of state-api. On AKS, it trusts the service account. */
const identity = { clientId: "00000000-0000-0000-0000-0000000000c4", objectId: "00000000-0000-0000-0000-0000000000b4" };
const serviceAccount = "system:serviceaccount:dapr-samples:state-api";

const folder = mkdtempSync(join(tmpdir(), "keyless-"));
const caFile = join(folder, "ca.pem");
const tokenFile = join(folder, "federated-token");
let certificate: { ca: string; cert: string; key: string };
let issuer: FederatedIssuer;

let azure: Azure;
let cosmos: CosmosSimulator;
let proxy: Tunnels;
/** How much the clock of Cosmos DB is behind. */
let cosmosLagMs = 0;
let roleAssignments: RoleAssignment[];
let service: Process;
const processes: Process[] = [];

beforeAll(async () => {
  issuer = await startFederatedIssuer();
  const lifetime = { from: new Date(), to: new Date(Date.now() + 30 * 86_400_000) };
  certificate = await issue("keyless test", lifetime, [
    { type: 2, value: accountName },
    { type: 2, value: authority },
    { type: 7, ip: "127.0.0.1" },
  ]);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), certificate.ca]);
  writeFileSync(caFile, certificate.ca);
  writeFileSync(join(folder, "cert.pem"), certificate.cert);
  writeFileSync(join(folder, "key.pem"), certificate.key);
  writeFileSync(join(folder, "token-key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
});
afterAll(() => {
  policy.remove();
  issuer.close();
  rmSync(folder, { recursive: true });
});

beforeEach(async () => {
  azure = await startAzure({
    record: true,
    folder,
    hostNames: [authority],
    audiences: [`https://${accountName}`],
    userAssigned: [identity],
    applications: [{ ...identity, federatedCredentials: [{ issuer: issuer.issuer, subject: serviceAccount }] }],
  });
  writeFileSync(tokenFile, issuer.token({ sub: serviceAccount }));
  cosmosLagMs = 0;
  roleAssignments = [{ principal: identity.objectId, scope: "/dbs/dapr-db/colls/statestore" }];
  await startCosmos({ id: azure.tenantId, keys: await fetchKeys() });
});
afterEach(async () => {
  for (const process of processes.splice(0).reverse()) await process.end("SIGKILL");
  await Promise.all([azure.close(), cosmos.close(), proxy.close()]);
});

async function startCosmos(tenant: Tenant): Promise<void> {
  cosmos = await startCosmosSimulator({
    hostname: accountName,
    tls: certificate,
    disableLocalAuth: true,
    tenant,
    roleAssignments,
    now: () => Date.now() - cosmosLagMs,
  });
  cosmos.createContainer("dapr-db", "statestore");
  proxy = await startProxy({
    [`${authority}:443`]: Number(new URL(azure.httpsUrl).port),
    [`${accountName}:443`]: Number(new URL(cosmos.url).port),
  });
}

/** The keys that Entra ID publishes. */
async function fetchKeys(): Promise<Tenant["keys"]> {
  const response = await fetch(`${azure.httpsUrl}/common/discovery/v2.0/keys`);
  return ((await response.json()) as Tenant).keys;
}

/** What the workload identity webhook of AKS adds to a pod. */
const workloadIdentity = () => ({
  AZURE_CLIENT_ID: identity.clientId,
  AZURE_TENANT_ID: azure.tenantId,
  AZURE_FEDERATED_TOKEN_FILE: tokenFile,
  AZURE_AUTHORITY_HOST: `https://${authority}/`,
});
const managedIdentity = () => ({
  AZURE_CLIENT_ID: identity.clientId,
  IDENTITY_ENDPOINT: `${azure.url}/msi/token`,
  IDENTITY_HEADER: identityHeader,
});

const policy = resiliencyResources("patient");

async function startSidecarWith(env: Record<string, string>): Promise<Process> {
  const sidecar = await startSidecar({
    resources: ["components/cosmos/sidecar-keyless", policy.folder],
    env: { COSMOS_URL: `https://${accountName}:443/`, SSL_CERT_FILE: caFile, HTTPS_PROXY: proxy.url, ...env },
  });
  processes.push(sidecar);
  return sidecar;
}

async function start(env: Record<string, string>): Promise<void> {
  const { origin } = await startSidecarWith(env);
  service = await startService("state-api", { DAPR_HTTP_ENDPOINT: origin, STATESTORE_TIMEOUT_MS: "20000" });
  processes.push(service);
}

/** Returns what a sidecar prints that does not start. It can report to be healthy for a moment before it exits. */
async function startInVain(env: Record<string, string>): Promise<string> {
  let output = () => "";
  try {
    ({ output } = await startSidecarWith(env));
  } catch (error) {
    output = () => String(error);
  }
  await expect.poll(output, { timeout: 10_000 }).toContain("Fatal error from runtime");
  return output();
}

async function send(
  method: string,
  path: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: unknown; etag: string }> {
  const response = await fetch(`${service.origin}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json");
  return { status: response.status, body: isJson ? JSON.parse(text) : text, etag: response.headers.get("etag") ?? "" };
}

describe.each([
  { name: "workload identity, as on AKS", environment: workloadIdentity, part: "entra" },
  { name: "a managed identity, as on Container Apps", environment: managedIdentity, part: "identity" },
])("the state API on Cosmos DB with $name", ({ environment, part }) => {
  const tokensIssued = () =>
    azure.requests.filter(({ part: of, path, status }) => of === part && /\/token(\?|$)/.test(path) && status === 200)
      .length;

  test("saves, reads, changes on a condition, transacts, reads in bulk and deletes", async () => {
    await start(environment());
    expect(await send("POST", "/state", { body: { key: "posted", data: 1 } })).toMatchObject({ status: 200 });
    expect(await send("PUT", "/state/a", { body: { v: 1 } })).toMatchObject({ status: 204 });
    const { etag, ...read } = await send("GET", "/state/a");
    expect(read).toEqual({ status: 200, body: { v: 1 } });

    const ifMatch = { "if-match": etag };
    expect(await send("PUT", "/state/a", { body: { v: 2 }, headers: ifMatch })).toMatchObject({ status: 204 });
    expect(await send("PUT", "/state/a", { body: { v: 3 }, headers: ifMatch })).toMatchObject({ status: 412 });
    const ifNone = { "if-none-match": "*" };
    expect(await send("PUT", "/state/a", { body: { v: 3 }, headers: ifNone })).toMatchObject({ status: 412 });

    const transact = (...operations: object[]) => send("POST", "/state/transaction", { body: { operations } });
    const upserts = [1, 2].map((data) => ({ operation: "upsert", key: `group~${data}`, data }));
    expect(await transact(...upserts)).toMatchObject({ status: 204 });
    const change = [
      { operation: "delete", key: "group~1" },
      { operation: "upsert", key: "group~2", data: 3 },
    ];
    expect(await transact(...change)).toMatchObject({ status: 204 });
    expect(await send("POST", "/state/bulk", { body: { keys: ["a", "group~1", "group~2"] } })).toMatchObject({
      status: 200,
      body: [
        { key: "a", data: { v: 2 } },
        { key: "group~1", found: false },
        { key: "group~2", data: 3 },
      ],
    });
    expect(await send("DELETE", "/state/a")).toMatchObject({ status: 204 });
    expect(await send("GET", "/state/a")).toMatchObject({ status: 404 });

    expect(tokensIssued()).toBeGreaterThan(0);
    expect(cosmos.requests.map(({ status }) => status)).not.toContain(401);
    expect(proxy.refused).toEqual([]);
  });

  test("renews an expired token before the next request", async () => {
    azure.tokenLifetime = 1;
    cosmosLagMs = 60_000; // a busy machine may take longer than a second from the token to the request
    await start(environment());
    expect(await send("PUT", "/state/a", { body: 1 })).toMatchObject({ status: 204 });
    const issued = tokensIssued();
    await sleep(1_100);
    azure.tokenLifetime = 3_600;
    cosmosLagMs = 0; // from now on, Cosmos DB rejects the tokens issued so far
    expect(await send("PUT", "/state/a", { body: 2 })).toMatchObject({ status: 204 });
    expect(tokensIssued()).toBeGreaterThan(issued);
    expect(cosmos.requests.map(({ status }) => status)).not.toContain(401);
  });
});

describe("the sidecar's start with the keyless component", () => {
  test("fails with the principal that has no role on the container", async () => {
    roleAssignments[0] = { principal: identity.objectId, scope: "/dbs/dapr-db/colls/another" };
    expect(await startInVain(workloadIdentity())).toContain(
      `principal [${identity.objectId}] does not have required RBAC permissions to perform action ` +
        "[Microsoft.DocumentDB/databaseAccounts/readMetadata] on resource [/dbs/dapr-db/colls/statestore]",
    );
  });

  test("fails when Entra ID does not trust the service account", async () => {
    writeFileSync(tokenFile, issuer.token({ sub: "system:serviceaccount:another:state-api" }));
    expect(await startInVain(workloadIdentity())).toContain("AADSTS700213");
  });

  test("fails when Entra ID signed the token with a key that it has not published", async () => {
    await Promise.all([cosmos.close(), proxy.close()]);
    await startCosmos(tenant);
    expect(await startInVain(workloadIdentity())).toContain("The signature of the AAD token is invalid.");
  });
});

test("without its role, a running service returns 500 with Cosmos DB's status, and its log names the principal and the action", async () => {
  await start(workloadIdentity());
  roleAssignments.length = 0;
  const { status, body } = await send("GET", "/state/a");
  expect({ status, body }).toMatchObject({ status: 500, body: { title: expect.stringContaining("403 Forbidden") } });
  expect(JSON.stringify(body)).not.toContain(identity.objectId);
  await expect
    .poll(() => service.output())
    .toContain(
      `principal [${identity.objectId}] does not have required RBAC permissions to perform action ` +
        "[Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items] on resource [/dbs/dapr-db/colls/statestore]",
    );
});
