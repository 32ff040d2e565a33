// The service's HTTP face, its cache and its way to Azure, through the real @azure/identity and @azure/arm-resources to the
// stand-in of Azure. What needs another identity or a process of its own is in group-lister.process.test.ts.
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createApp } from "../../../services/group-lister/app.ts";
import { createCredential } from "../../../services/group-lister/azure/credential.ts";
import { createResourceManager } from "../../../services/group-lister/azure/resource-manager.ts";
import { azureOf, readGroupListerConfig } from "../../../services/group-lister/config.ts";
import { createGroups } from "../../../services/group-lister/groups.ts";
import { groupMetrics } from "../../../services/group-lister/metrics.ts";
import { openapi } from "../../../services/group-lister/openapi.ts";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { identityHeader } from "../../../stand-ins/azure/defaults.ts";
import { throttled } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { sampleIdentity } from "../../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../../stand-ins/azure/start.ts";

const id = "00000000-0000-0000-0000-000000000001";
const named = (count: number) => Array.from({ length: count }, (_, index) => ({ name: `rg-${index}` }));
/** Not in the order of the alphabet: Azure's order is to be kept. */
const groups = [
  { name: "rg-b", location: "westeurope", tags: { team: "blue" } },
  { name: "rg-a", location: "northeurope", provisioningState: "Deleting" },
];

let azure: Azure;
beforeAll(async () => {
  // Loading the SDKs would count into the 300 ms below.
  await Promise.all(
    ["@azure/identity", "@azure/arm-resources", "@azure/arm-resources-subscriptions"].map((name) => import(name)),
  );
  const { ca } = await loadKeys();
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
  azure = await startAzure();
  vi.stubEnv("IDENTITY_ENDPOINT", `${azure.url}/msi/token`);
  vi.stubEnv("IDENTITY_HEADER", identityHeader);
  vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
});
afterAll(async () => {
  await azure.close();
  vi.unstubAllEnvs();
});

let logged: string;
let register: Registry;

/** As server.ts puts it together. */
function serve(env: Record<string, string> = {}) {
  const config = readGroupListerConfig({
    AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
    AZURE_SUBSCRIPTION_ID: id,
    AZURE_TIMEOUT_MS: "300",
    ...env,
  });
  const { resourceManager, authorityHost, resource, subscriptionId } = azureOf(config);
  logged = "";
  const log = pino({ level: "debug" }, { write: (line: string) => (logged += line) });
  register = new Registry();
  const metrics = groupMetrics(register);
  const timeoutMs = config.AZURE_TIMEOUT_MS;
  const clientId = config.AZURE_CLIENT_ID;
  const credential = createCredential({ resource, clientId, authorityHost, timeoutMs, observe: metrics.call("token") });
  const list = createResourceManager({
    origin: resourceManager,
    subscriptionId,
    credential,
    timeoutMs,
    observe: metrics.call("resource-manager"),
    found: ({ name }) => log.info(`found ${name}`),
  });
  const cached = createGroups({ list, config, log });
  metrics.age(() => cached.held);
  const ready = async () => void (await credential.getToken(resource));
  return request(createApp({ groups: cached, config, log, register, ready, observeStale: metrics.stale }));
}

let api: ReturnType<typeof serve>;
let seen: number;
/** Requests to Azure Resource Manager since the test began. */
const asked = () => azure.requests.slice(seen).filter(({ part }) => part === "arm");
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);
const figure = async (line: RegExp) => expect(await register.metrics()).toMatch(line);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  azure.subscriptions = [{ id, name: "The one", groups }];
  seen = azure.requests.length;
  api = serve();
});
afterEach(() => {
  vi.useRealTimers();
  azure.latencyMs.arm = 0;
  azure.nextLinkOrigin = undefined;
});

const problem = (answer: request.Response, status: number, code: string) => {
  expect({ status: answer.status, type: answer.type, code: answer.body.type }).toEqual({
    status,
    type: "application/problem+json",
    code: `urn:problem:${code}`,
  });
  expect(answer.body.detail).toEqual(expect.any(String));
  expect(answer.text).not.toMatch(/node_modules|\bat .*\.ts|<html|eyJ/i);
  return `${answer.body.title} ${answer.body.detail}`;
};

describe("the list", () => {
  test.each(["/groupz", "/"])("GET %s answers the names in Azure's order, and that they are samples", async (path) => {
    const answer = await api.get(path);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(["rg-b", "rg-a"]);
    expect(answer.headers).toMatchObject({
      "content-type": "application/json; charset=utf-8",
      "cache-control": "private, max-age=30",
      age: "0",
      "cache-status": "group-lister; fwd=miss",
      "sample-data": "azure-stand-in",
    });
  });

  test("with details has location, tags and provisioning state", async () => {
    expect((await api.get("/groupz?details=true")).body).toEqual([
      { name: "rg-b", location: "westeurope", tags: { team: "blue" }, provisioningState: "Succeeded" },
      { name: "rg-a", location: "northeurope", tags: {}, provisioningState: "Deleting" },
    ]);
    expect((await api.get("/groupz?details=false")).body).toEqual(["rg-b", "rg-a"]);
    problem(await api.get("/groupz?details=maybe"), 400, "bad-request");
    problem(await api.get("/groupz?details=true&details=true"), 400, "bad-request");
  });

  test("follows every page: 1,250 groups", async () => {
    azure.subscriptions = [{ id, name: "The one", groups: named(1_250) }];
    expect((await api.get("/groupz")).body).toEqual(named(1_250).map(({ name }) => name));
    expect(asked().map(({ path }) => path.includes("skiptoken"))).toEqual([false, true, true]);
  });

  test("of a subscription without groups is empty, which no failure ever is", async () => {
    azure.subscriptions = [{ id, name: "The one", groups: [] }];
    const answer = await api.get("/groupz");
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: [] });
  });

  test("is of the first enabled subscription when none is given, and the log names it", async () => {
    const other = "00000000-0000-0000-0000-000000000002";
    azure.subscriptions = [
      { id: other, name: "Off", state: "Disabled", groups: [] },
      { id, name: "The one", groups },
    ];
    api = serve({ AZURE_SUBSCRIPTION_ID: "" });
    expect((await api.get("/groupz")).body).toEqual(["rg-b", "rg-a"]);
    expect(logged).toContain("found The one");
    azure.subscriptions = [];
    const text = problem(await api.get("/groupz").set("Cache-Control", "no-cache"), 404, "no-such-subscription");
    expect(text).toContain(id);
    pass(1_000);
    expect(problem(await api.get("/groupz").set("Cache-Control", "no-cache"), 403, "forbidden")).toMatch(
      /no subscription/,
    );
  });

  test("does not change its ETag while it is the same, and 304 needs no body", async () => {
    const first = await api.get("/groupz");
    const { etag = "" } = first.headers;
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const answer = await api.get("/groupz").set("If-None-Match", known);
      expect({ status: answer.status, text: answer.text, etag: answer.headers.etag }).toEqual({
        status: 304,
        text: "",
        etag,
      });
    }
    expect((await api.get("/groupz?details=true").set("If-None-Match", etag)).status).toBe(200);
    pass(31_000);
    expect((await api.get("/groupz").set("If-None-Match", etag)).status).toBe(304);
    azure.subscriptions = [{ id, name: "The one", groups: named(1) }];
    const changed = await api.get("/groupz").set("If-None-Match", etag).set("Cache-Control", "no-cache");
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(etag);
  });

  test("takes GET and HEAD only, as its description says", async () => {
    expect((await api.head("/groupz")).headers["content-length"]).toBe(String('["rg-b","rg-a"]'.length));
    const answer = await api.post("/groupz");
    expect({ status: answer.status, allow: answer.headers.allow }).toEqual({ status: 405, allow: "GET, HEAD" });
    expect((await api.get("/openapi.json")).body).toEqual(JSON.parse(JSON.stringify(openapi)));
  });
});

describe("the cache", () => {
  test("answers for 30 s without asking Azure, and says how old the answer is", async () => {
    await api.get("/groupz");
    pass(29_000);
    const { headers } = await api.get("/groupz");
    expect(headers).toMatchObject({ age: "29", "cache-status": "group-lister; hit; ttl=1" });
    expect(asked()).toHaveLength(1);
    pass(2_000);
    expect((await api.get("/groupz")).headers).toMatchObject({ age: "0", "cache-status": "group-lister; fwd=miss" });
    expect(asked()).toHaveLength(2);
  });

  test("asks once for fifty who ask at once", async () => {
    azure.latencyMs.arm = 50;
    const answers = await Promise.all(Array.from({ length: 50 }, () => api.get("/groupz")));
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(['["rg-b","rg-a"]']));
    expect(asked()).toHaveLength(1);
  });

  test("is passed by with Cache-Control: no-cache, among other directives too", async () => {
    await api.get("/groupz");
    azure.subscriptions = [{ id, name: "The one", groups: named(1) }];
    expect((await api.get("/groupz")).body).toEqual(["rg-b", "rg-a"]);
    const answer = await api.get("/groupz").set("Cache-Control", "max-age=0, No-Cache");
    expect(answer.body).toEqual(["rg-0"]);
    expect(answer.headers["cache-status"]).toBe("group-lister; fwd=request");
    expect((await api.get("/groupz")).body).toEqual(["rg-0"]);
  });

  test("never answers no-cache with what was asked for earlier, and asks once for all who wait", async () => {
    await api.get("/groupz"); // the SDK is loaded
    azure.latencyMs.arm = 100;
    const noCache = () =>
      api
        .get("/groupz")
        .set("Cache-Control", "no-cache")
        .then(({ body }) => body);
    const early = noCache();
    await vi.waitFor(() => expect(register.metrics()).resolves.toMatch(/groups_age_seconds/));
    await sleep(20);
    const late = [noCache(), noCache(), noCache()];
    await sleep(20);
    azure.subscriptions = [{ id, name: "The one", groups: named(1) }];
    await early;
    expect(await Promise.all(late)).toEqual([["rg-0"], ["rg-0"], ["rg-0"]]);
    expect(asked()).toHaveLength(3);
  });
});

describe("when Azure fails", () => {
  test("403 names the role, the scope and whom to give it", async () => {
    const strict = await startAzure({ readers: [], subscriptions: azure.subscriptions });
    try {
      api = serve({ AZURE_RESOURCE_MANAGER_ENDPOINT: strict.httpsUrl });
      const text = problem(await api.get("/groupz"), 403, "forbidden");
      expect(text).toContain(`lacks the role Reader on /subscriptions/${id}`);
      expect(text).toContain(`--assignee-object-id ${sampleIdentity.objectId}`);
    } finally {
      await strict.close();
    }
  });

  test("404 names the subscription", async () => {
    azure.subscriptions = [];
    expect(problem(await api.get("/groupz"), 404, "no-such-subscription")).toContain(id);
  });

  test("429 passes Retry-After on, and Azure is left alone until then", async () => {
    azure.failNext("arm", 1, throttled(7));
    const answer = await api.get("/groupz");
    problem(answer, 429, "throttled");
    expect(answer.headers["retry-after"]).toBe("7");
    pass(4_500);
    const later = await api.get("/groupz").set("Cache-Control", "no-cache");
    problem(later, 429, "throttled");
    expect(later.headers["retry-after"]).toBe("3");
    expect(asked()).toHaveLength(1);
    pass(2_500);
    expect((await api.get("/groupz")).body).toEqual(["rg-b", "rg-a"]);
  });

  test("Retry-After may be a date, and days of it are five minutes here", async () => {
    const date = (ms: number) => new Date(Date.now() + ms).toUTCString();
    azure.failNext("arm", 1, { status: 429, headers: { "Retry-After": date(600_000) } });
    expect(Number((await api.get("/groupz")).headers["retry-after"])).toBeGreaterThan(590);
    pass(299_000);
    problem(await api.get("/groupz"), 429, "throttled");
    pass(2_000);
    expect((await api.get("/groupz")).status).toBe(200);
  });

  test.each([500, 502, 503])("a %i is 502, asked for once, with Azure's code", async (status) => {
    azure.failNext("arm", 1, { status, body: { error: { code: "ServerBusy", message: "internal-host-7" } } });
    const answer = await api.get("/groupz");
    const text = problem(answer, 502, "azure-failed");
    expect(text).toContain(`${status} ServerBusy`);
    expect(text).not.toContain("internal-host-7");
    expect(answer.headers["retry-after"]).toBe("1");
    expect(logged).toContain("internal-host-7");
    expect(asked()).toHaveLength(1);
  });

  test("no answer in time is 504, long before a client gives up", async () => {
    azure.latencyMs.arm = Number.POSITIVE_INFINITY;
    const started = performance.now();
    expect(problem(await api.get("/groupz"), 504, "azure-timeout")).toContain("300 ms");
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test("an answer that stops in the middle is 504 as well", async () => {
    const { key, cert } = await loadKeys();
    const stuck = createServer({ key, cert }, (_req, res) => res.writeHead(200, { "Content-Length": 99 }).write("["));
    stuck.listen(0, "127.0.0.1");
    await once(stuck, "listening");
    const { port } = stuck.address() as AddressInfo;
    api = serve({ AZURE_RESOURCE_MANAGER_ENDPOINT: `https://127.0.0.1:${port}` });
    problem(await api.get("/groupz"), 504, "azure-timeout");
    stuck.closeAllConnections();
    stuck.close();
  });

  test("nobody there is 502 and says where", async () => {
    api = serve({ AZURE_RESOURCE_MANAGER_ENDPOINT: "https://127.0.0.1:9" });
    const text = problem(await api.get("/groupz"), 502, "azure-unreachable");
    expect(text).toContain("https://127.0.0.1:9 (ECONNREFUSED)");
  });

  test.each([
    ["a page of a proxy", "<html>", {}],
    ["JSON without a list", { values: [] }, {}],
    ["a list that is none", { value: {} }, {}],
    ["broken JSON", "{", { "Content-Type": "application/json" }],
    ["a group without a name", { value: [{ location: "x" }] }, {}],
  ])("%s is 502, not an empty list", async (_what, body, headers) => {
    azure.failNext("arm", 1, { status: 200, body, headers });
    problem(await api.get("/groupz"), 502, "azure-failed");
  });

  test("a page that fails fails the whole list", async () => {
    azure.subscriptions = [{ id, name: "The one", groups: named(600) }];
    await api.get("/groupz"); // the SDK is loaded
    azure.latencyMs.arm = 50;
    const answer = api
      .get("/groupz")
      .set("Cache-Control", "no-cache")
      .then((whole) => whole);
    await vi.waitFor(() => expect(asked()).toHaveLength(3));
    azure.failNext("arm", 1, { status: 500 });
    problem(await answer, 502, "azure-failed");
  });

  test("a link to another host is not followed, so that no token goes there", async () => {
    const received: unknown[] = [];
    const { key, cert } = await loadKeys();
    const foreign = createServer({ key, cert }, (req, res) => {
      received.push(req.headers.authorization);
      res.end('{"value": []}');
    }).listen(0, "127.0.0.1");
    await once(foreign, "listening");
    azure.nextLinkOrigin = `https://localhost:${(foreign.address() as AddressInfo).port}`;
    azure.subscriptions = [{ id, name: "The one", groups: named(600) }];
    expect(problem(await api.get("/groupz"), 502, "azure-failed")).toContain("a link to another host");
    expect(received).toEqual([]);
    foreign.closeAllConnections();
    foreign.close();
  });

  test("links that go round in circles come to an end", async () => {
    const page = { value: [{ name: "rg" }], nextLink: `${azure.httpsUrl}/subscriptions/${id}/resourcegroups` };
    azure.failNext("arm", 101, { status: 200, body: page });
    expect(problem(await api.get("/groupz"), 502, "azure-failed")).toContain("an endless list");
    expect(asked()).toHaveLength(101);
  });

  test("a token that is refused says what to look at", async () => {
    azure.failNext("arm", 1, { status: 401, body: { error: { code: "InvalidAuthenticationToken" } } });
    const answer = await api.get("/groupz");
    expect(problem(answer, 502, "token-refused")).toMatch(/InvalidAuthenticationToken.*restart/);
  });
});

describe("a listing that cannot be renewed", () => {
  const noCache = () => api.get("/groupz").set("Cache-Control", "no-cache");

  test("is answered for a while, says so, and is counted; then comes the error", async () => {
    api = serve({ GROUPS_MAX_STALE_MS: "60000" });
    await api.get("/groupz");
    await figure(/groups_stale_answers_total 0/);
    azure.failNext("arm", 3, { status: 500 });
    pass(42_000);
    const answer = await api.get("/groupz");
    expect(answer.body).toEqual(["rg-b", "rg-a"]);
    expect(answer.headers).toMatchObject({
      age: "42",
      "cache-control": "private, max-age=30",
      "cache-status": "group-lister; hit; ttl=-12; detail=azure-failed",
    });
    await figure(/groups_stale_answers_total 1/);
    await figure(/groups_age_seconds 42/);
    await figure(/azure_call_duration_seconds_count\{operation="resource-manager",outcome="azure-failed"\} 1/);
    expect(logged).toContain("failed to refresh the resource groups");
    pass(47_000);
    expect((await api.get("/groupz")).status).toBe(200);
    pass(2_000);
    problem(await api.get("/groupz"), 502, "azure-failed");
  });

  test("is not what no-cache is answered with", async () => {
    await api.get("/groupz");
    azure.failNext("arm", 1, { status: 500 });
    problem(await noCache(), 502, "azure-failed");
    expect((await api.get("/groupz")).status).toBe(200);
  });

  test("is renewed as soon as Azure is back, which is asked once a second at most", async () => {
    await api.get("/groupz");
    azure.failNext("arm", 1, { status: 500 });
    pass(31_000);
    for (let i = 0; i < 5; i++) await api.get("/groupz");
    expect(asked()).toHaveLength(2);
    pass(1_001);
    expect((await api.get("/groupz")).headers["cache-status"]).toBe("group-lister; fwd=miss");
    expect(asked()).toHaveLength(3);
  });
});

describe("credentials", () => {
  test("none at all: 503 with one line for each that was tried, and what to do; readiness says the same", async () => {
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential");
    for (const [path, code] of [
      ["/groupz", "no-credential"],
      ["/readyz", "not-ready"],
    ] as const) {
      const answer = await api.get(path);
      const text = problem(answer, 503, code);
      expect(text).toMatch(/az login.*managed identity.*AZURE_CLIENT_ID/s);
      expect(text).toMatch(/\n- EnvironmentCredential is unavailable\. No underlying credential could be used\.$/);
      expect(answer.headers["retry-after"]).toBe("1");
    }
    expect(asked()).toEqual([]);
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
  });

  test("a chain that cannot be made says why", async () => {
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "nonsense");
    expect(problem(await api.get("/groupz"), 503, "no-credential")).toContain("AZURE_TOKEN_CREDENTIALS = nonsense");
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
  });

  test("one that Entra ID refuses: 502 with Entra ID's number, never the secret", async () => {
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential");
    vi.stubEnv("AZURE_TENANT_ID", azure.tenantId);
    vi.stubEnv("AZURE_CLIENT_ID", sampleIdentity.clientId);
    vi.stubEnv("AZURE_CLIENT_SECRET", "do-not-show-this");
    api = serve({ AZURE_AUTHORITY_HOST: azure.httpsUrl });
    const answer = await api.get("/groupz");
    expect(problem(answer, 502, "credential-refused")).toMatch(/\n- EnvironmentCredential.*AADSTS700016/);
    problem(await api.get("/readyz"), 503, "not-ready");
    expect(answer.text + logged).not.toContain("do-not-show-this");
    for (const name of ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"]) vi.stubEnv(name, undefined);
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
  });

  test("one whose Entra ID is not there: 502 that says where it was looked for", async () => {
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential");
    vi.stubEnv("AZURE_TENANT_ID", azure.tenantId);
    vi.stubEnv("AZURE_CLIENT_ID", sampleIdentity.clientId);
    vi.stubEnv("AZURE_CLIENT_SECRET", "x");
    api = serve({ AZURE_AUTHORITY_HOST: "https://127.0.0.1:9" });
    const text = problem(await api.get("/groupz"), 502, "azure-unreachable");
    expect(text).toContain("\n- https://127.0.0.1:9 did not respond: ECONNREFUSED");
    for (const name of ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"]) vi.stubEnv(name, undefined);
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
  });

  test("a silent one: 504, and how the search ended for who asks again", async () => {
    azure.latencyMs.identity = Number.POSITIVE_INFINITY;
    api = serve({ AZURE_AD_RESOURCE: "https://management.core.windows.net" }); // no token for it is known yet
    problem(await api.get("/groupz"), 504, "credential-slow");
    pass(1_000);
    const again = () => api.get("/readyz").then(({ body }) => body.detail);
    await expect.poll(again).toContain("\n- ManagedIdentityCredential: Network unreachable");
    azure.latencyMs.identity = 0;
  });

  test("tokens are in no log and no answer", async () => {
    const answer = await api.get("/groupz");
    azure.failNext("arm", 1, { status: 500 });
    const failed = await api.get("/groupz").set("Cache-Control", "no-cache");
    expect(logged).toContain("failed to refresh");
    expect(logged + answer.text + failed.text).not.toMatch(/eyJ|Bearer/);
  });
});

describe("the configuration", () => {
  const azureFor = (env: Record<string, string>) => azureOf(readGroupListerConfig(env));

  test("AZURE_SUBSCRIPTION_ID wins over SUBSCRIPTION_ID; both may be absent", () => {
    const other = "00000000-0000-0000-0000-000000000002";
    expect(azureFor({ AZURE_SUBSCRIPTION_ID: id, SUBSCRIPTION_ID: other }).subscriptionId).toBe(id);
    expect(azureFor({ SUBSCRIPTION_ID: other }).subscriptionId).toBe(other);
    expect(azureFor({}).subscriptionId).toBe("");
  });

  test.each([
    ["AzurePublicCloud", "https://management.azure.com", "https://login.microsoftonline.com"],
    ["AzureUSGovernmentCloud", "https://management.usgovcloudapi.net", "https://login.microsoftonline.us"],
    ["AzureChinaCloud", "https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"],
  ])("%s is found where it is", (cloud, resourceManager, authorityHost) => {
    const env = { AZURE_ENVIRONMENT: cloud };
    expect(azureFor(env)).toMatchObject({ resourceManager, authorityHost, resource: resourceManager });
  });

  test("what is given wins over what the cloud has", () => {
    const given = {
      AZURE_RESOURCE_MANAGER_ENDPOINT: "https://arm.local/",
      AZURE_AUTHORITY_HOST: "https://login.local/",
    };
    expect(azureFor({ ...given, AZURE_AD_RESOURCE: "https://arm.local/abc" })).toMatchObject({
      resourceManager: "https://arm.local",
      authorityHost: "https://login.local/",
      resource: "https://arm.local/abc",
    });
  });

  test("tells all faults at once", () => {
    const wrong = { AZURE_SUBSCRIPTION_ID: "mine", AZURE_ENVIRONMENT: "Mars", GROUPS_MAX_AGE_MS: "30001" };
    expect(() => readGroupListerConfig({ ...wrong, AZURE_RESOURCE_MANAGER_ENDPOINT: "http://arm" })).toThrow(
      /AZURE_SUBSCRIPTION_ID="mine"[\s\S]*AZURE_ENVIRONMENT="Mars" must be one of[\s\S]*ENDPOINT="http:\/\/arm"[\s\S]*GROUPS_MAX_AGE_MS="30001"/,
    );
  });
});
