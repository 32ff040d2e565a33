// Tests the service's HTTP API, its cache and its calls to Azure: the real @azure/identity and @azure/arm-resources
// call the Azure stand-in. process.test.ts has the tests that need another identity or a process of their own.
import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import tls from "node:tls";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, type MockInstance, test, vi } from "vitest";
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
import { measure } from "../../support/stopwatch.ts";

const id = "00000000-0000-0000-0000-000000000001";
const named = (count: number) => Array.from({ length: count }, (_, index) => ({ name: `rg-${index}` }));
/** Not in alphabetical order, because the service has to keep Azure's order. */
const groups = [
  { name: "rg-b", location: "westeurope", tags: { team: "blue" } },
  { name: "rg-a", location: "northeurope", provisioningState: "Deleting" },
];

let azure: Azure;
beforeAll(async () => {
  // Loaded in advance, because loading the SDKs would count towards the timeout of 300 ms below.
  await Promise.all(
    ["@azure/identity", "@azure/arm-resources", "@azure/arm-resources-subscriptions"].map((name) => import(name)),
  );
  const { ca } = await loadKeys();
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
  azure = await startAzure({ record: true });
});
afterAll(async () => {
  await azure.close();
});

const impatient = { AZURE_TIMEOUT_MS: "300" };
let logged: string;
let register: Registry;
/** Called once for each request with no-cache. */
let refresh: MockInstance;

/** The service, assembled as in server.ts. */
const serve = (env?: Record<string, string>) => request(serveApp(env));

function serveApp(env: Record<string, string> = {}) {
  const config = readGroupListerConfig({
    AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
    AZURE_SUBSCRIPTION_ID: id,
    AZURE_TIMEOUT_MS: "3000",
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
  refresh = vi.spyOn(cached, "refresh");
  metrics.age(() => cached.held);
  const ready = async () => void (await credential.getToken(resource));
  return createApp({ groups: cached, config, log, register, ready, observeStale: metrics.stale });
}

const logLines = () => logged.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));

let api: ReturnType<typeof serve>;
let requestsBefore: number;
/** Requests to Azure Resource Manager since the test began. */
const armRequests = () => azure.requests.slice(requestsBefore).filter(({ part }) => part === "arm");
const advance = (ms: number) => vi.setSystemTime(Date.now() + ms);
const expectMetric = async (line: string) => expect((await register.metrics()).split("\n")).toContain(line);

beforeEach(() => {
  vi.stubEnv("IDENTITY_ENDPOINT", `${azure.url}/msi/token`);
  vi.stubEnv("IDENTITY_HEADER", identityHeader);
  vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  azure.subscriptions = [{ id, name: "The one", groups }];
  requestsBefore = azure.requests.length;
  api = serve();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  azure.latencyMs.arm = 0;
  azure.nextLinkOrigin = undefined;
});

/** Runs an Azure Resource Manager that responds with `respond`. */
async function withArm(respond: RequestListener, use: (endpoint: string) => Promise<void>): Promise<void> {
  const { key, cert } = await loadKeys();
  const server = createServer({ key, cert }, respond).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Returns the title and detail of a response that has to be a problem. */
const problem = (response: request.Response, status: number, code: string) => {
  expect({ status: response.status, type: response.type, code: response.body.type }).toEqual({
    status,
    type: "application/problem+json",
    code: `urn:problem:${code}`,
  });
  expect(response.body.detail).toEqual(expect.any(String));
  expect("retry-after" in response.headers).toBe(status === 429 || status >= 500);
  expect(response.text).not.toMatch(/node_modules|\bat .*\.ts|<html|eyJ/i);
  return `${response.body.title} ${response.body.detail}`;
};

describe("GET /groupz", () => {
  test.each(["/groupz", "/"])(
    "GET %s returns the names in Azure's order and marks them as sample data",
    async (path) => {
      const response = await api.get(path);
      expect(response.status).toBe(200);
      expect(response.body).toEqual(["rg-b", "rg-a"]);
      expect(response.headers).toMatchObject({
        "content-type": "application/json; charset=utf-8",
        "cache-control": "private, max-age=30",
        age: "0",
        "cache-status": "group-lister; fwd=miss",
        "sample-data": "azure-stand-in",
      });
      await expectMetric(`http_request_duration_seconds_count{method="GET",route="${path}",status="200"} 1`);
    },
  );

  test("adds location, tags and provisioning state with details=true and rejects other values with 400", async () => {
    expect((await api.get("/groupz?details=true")).body).toEqual([
      { name: "rg-b", location: "westeurope", tags: { team: "blue" }, provisioningState: "Succeeded" },
      { name: "rg-a", location: "northeurope", tags: {}, provisioningState: "Deleting" },
    ]);
    expect((await api.get("/groupz?details=false")).body).toEqual(["rg-b", "rg-a"]);
    expect(problem(await api.get("/groupz?details=maybe"), 400, "bad-request")).toBe(
      "details must be true or false Example: GET /groupz?details=true",
    );
    problem(await api.get("/groupz?details=true&details=true"), 400, "bad-request");
  });

  test("follows the links to all three pages of 1,250 groups", async () => {
    azure.subscriptions = [{ id, name: "The one", groups: named(1_250) }];
    expect((await api.get("/groupz")).body).toEqual(named(1_250).map(({ name }) => name));
    expect(armRequests().map(({ path }) => path.includes("skiptoken"))).toEqual([false, true, true]);
  });

  test("returns 200 and an empty list for a subscription without groups", async () => {
    azure.subscriptions = [{ id, name: "The one", groups: [] }];
    const response = await api.get("/groupz");
    expect({ status: response.status, body: response.body }).toEqual({ status: 200, body: [] });
  });

  test("lists the first enabled subscription when none is configured, logs its name, and forgets it after a 404", async () => {
    const other = "00000000-0000-0000-0000-000000000002";
    azure.subscriptions = [
      { id: other, name: "Off", state: "Disabled", groups: [] },
      { id, name: "The one", groups },
    ];
    api = serve({ AZURE_SUBSCRIPTION_ID: "" });
    expect((await api.get("/groupz")).body).toEqual(["rg-b", "rg-a"]);
    expect(logged).toContain("found The one");
    azure.subscriptions = [];
    advance(2_000);
    problem(await api.get("/groupz").set("Cache-Control", "no-cache"), 404, "no-such-subscription");
    expect(logged).toContain(`"details":"/subscriptions/${id}"`);
    advance(1_000);
    expect(problem(await api.get("/groupz").set("Cache-Control", "no-cache"), 403, "forbidden")).toMatch(
      /no subscription/,
    );
  });

  test("keeps the ETag while the list is unchanged and returns 304 without a body to callers that have it", async () => {
    const first = await api.get("/groupz");
    const { etag = "" } = first.headers;
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const response = await api.get("/groupz").set("If-None-Match", known);
      expect({ status: response.status, text: response.text, etag: response.headers.etag }).toEqual({
        status: 304,
        text: "",
        etag,
      });
    }
    const like = [`"W/${etag.slice(1)}`, `x${etag}`, etag.slice(1, -1), ""];
    for (const unknown of like) expect((await api.get("/groupz").set("If-None-Match", unknown)).status).toBe(200);
    expect((await api.get("/groupz?details=true").set("If-None-Match", etag)).status).toBe(200);
    advance(31_000);
    expect((await api.get("/groupz").set("If-None-Match", etag)).status).toBe(304);
    azure.subscriptions = [{ id, name: "The one", groups: named(1) }];
    advance(2_000);
    const changed = await api.get("/groupz").set("If-None-Match", etag).set("Cache-Control", "no-cache");
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(etag);
  });

  test("accepts GET and HEAD, rejects POST with 405, and serves its OpenAPI document", async () => {
    expect((await api.head("/groupz")).headers["content-length"]).toBe(String('["rg-b","rg-a"]'.length));
    const response = await api.post("/groupz");
    expect({ status: response.status, allow: response.headers.allow }).toEqual({ status: 405, allow: "GET, HEAD" });
    expect((await api.get("/openapi.json")).body).toEqual(JSON.parse(JSON.stringify(openapi)));
  });
});

test("closes the connection of a caller that has not read a large list after 30 s", async () => {
  azure.subscriptions = [{ id, name: "The one", groups: [{ name: "a", tags: { b: "x".repeat(7_000_000) } }] }];
  const app = serveApp();
  await request(app).get("/groupz").expect(200);
  const server = createHttpServer(app).listen(0, "127.0.0.1");
  await once(server, "listening");
  const caller = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});
  const [socket] = await once(server, "connection");
  const closed = once(socket, "close");
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  caller.write("GET /groupz?details=true HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await expect.poll(() => vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(30_000);
  await closed;
  server.close();
});

describe("the cache", () => {
  test("serves a list for 30 s without a request to Azure and reports its age", async () => {
    await api.get("/groupz");
    advance(29_000);
    const { headers } = await api.get("/groupz");
    expect(headers).toMatchObject({ age: "29", "cache-status": "group-lister; hit; ttl=1" });
    expect(armRequests()).toHaveLength(1);
    advance(2_000);
    expect((await api.get("/groupz")).headers).toMatchObject({ age: "0", "cache-status": "group-lister; fwd=miss" });
    expect(armRequests()).toHaveLength(2);
  });

  test("sends one request to Azure for fifty concurrent callers", async () => {
    azure.latencyMs.arm = 50;
    const responses = await Promise.all(Array.from({ length: 50 }, () => api.get("/groupz")));
    expect(new Set(responses.map(({ text }) => text))).toEqual(new Set(['["rg-b","rg-a"]']));
    expect(armRequests()).toHaveLength(1);
  });

  test("Cache-Control: no-cache bypasses the cache, also among other directives", async () => {
    await api.get("/groupz");
    azure.subscriptions = [{ id, name: "The one", groups: named(1) }];
    expect((await api.get("/groupz")).body).toEqual(["rg-b", "rg-a"]);
    advance(2_000);
    const response = await api.get("/groupz").set("Cache-Control", "max-age=0, No-Cache");
    expect(response.body).toEqual(["rg-0"]);
    expect(response.headers["cache-status"]).toBe("group-lister; fwd=request");
    expect((await api.get("/groupz")).body).toEqual(["rg-0"]);
  });

  test.each([
    ["no-cache", 1],
    ["max-age=0,no-cache , no-store", 1],
    ["no-cachex", 0],
    ["x-no-cache", 0],
  ])("Cache-Control: %s bypasses the cache %i times", async (header, times) => {
    await api.get("/groupz").set("Cache-Control", header).expect(200);
    expect(refresh).toHaveBeenCalledTimes(times);
  });

  test("no-cache requests cause one request to Azure in 2 s, however many there are", async () => {
    const responses = [];
    for (let i = 0; i < 30; i++) {
      responses.push(await api.get("/groupz").set("Cache-Control", "no-cache"));
      advance(100);
    }
    expect(armRequests()).toHaveLength(2);
    const sources = responses.map(({ headers }) => headers["cache-status"]);
    expect(sources.filter((source) => source === "group-lister; fwd=request")).toHaveLength(2);
    expect(responses.map(({ headers }) => Number(headers.age)).filter((age) => age > 2)).toEqual([]);
  });

  test("starts one new request to Azure for all no-cache callers that arrive 2 s after the start of another", async () => {
    const answers: ((name: string) => void)[] = [];
    await withArm(
      (_req, res) => {
        res.setHeader("Content-Type", "application/json");
        answers.push((name) => res.end(JSON.stringify({ value: [{ name, location: "westeurope" }] })));
      },
      async (endpoint) => {
        api = serve({ AZURE_RESOURCE_MANAGER_ENDPOINT: endpoint });
        const noCache = async () => (await api.get("/groupz").set("Cache-Control", "no-cache")).body;
        const early = noCache();
        await expect.poll(() => answers).toHaveLength(1);
        advance(2_000);
        const late = [noCache(), noCache(), noCache()];
        await expect.poll(() => refresh.mock.calls).toHaveLength(4);
        answers[0]?.("rg-early");
        expect(await early).toEqual(["rg-early"]);
        await expect.poll(() => answers).toHaveLength(2);
        answers[1]?.("rg-late");
        expect(await Promise.all(late)).toEqual([["rg-late"], ["rg-late"], ["rg-late"]]);
        expect(answers).toHaveLength(2);
      },
    );
  });
});

describe("when Azure fails", () => {
  test("returns 403 with the missing role; only the log has the command, with subscription and object id", async () => {
    const strict = await startAzure({ readers: [], subscriptions: azure.subscriptions });
    try {
      api = serve({ AZURE_RESOURCE_MANAGER_ENDPOINT: strict.httpsUrl });
      const response = await api.get("/groupz");
      expect(problem(response, 403, "forbidden")).toContain("lacks the role Reader on the subscription");
      expect(response.text).not.toContain(id);
      expect(response.text).not.toContain(sampleIdentity.objectId);
      const command = `--scope /subscriptions/${id} --assignee-object-id ${sampleIdentity.objectId}`;
      const lines = logged.split("\n").filter((line) => line.includes(response.body.traceId));
      expect(lines.join()).toContain(command);
    } finally {
      await strict.close();
    }
  });

  test("returns 404 when the subscription does not exist; only the log has its id", async () => {
    azure.subscriptions = [];
    expect(problem(await api.get("/groupz"), 404, "no-such-subscription")).not.toContain(id);
    expect(logged).toContain(`"details":"/subscriptions/${id}"`);
  });

  test("returns 429 with Azure's Retry-After and sends Azure no request until then", async () => {
    azure.failNext("arm", 1, throttled(7));
    const response = await api.get("/groupz");
    problem(response, 429, "throttled");
    expect(response.headers["retry-after"]).toBe("7");
    expect(logLines().map(({ msg }) => msg)).toEqual(["failed to refresh the resource groups", "refused"]);
    advance(4_500);
    const later = await api.get("/groupz").set("Cache-Control", "no-cache");
    problem(later, 429, "throttled");
    expect(later.headers["retry-after"]).toBe("3");
    expect(armRequests()).toHaveLength(1);
    advance(2_500);
    expect((await api.get("/groupz")).body).toEqual(["rg-b", "rg-a"]);
  });

  test("accepts a date in Retry-After and retries after five minutes at the latest", async () => {
    const date = (ms: number) => new Date(Date.now() + ms).toUTCString();
    azure.failNext("arm", 1, { status: 429, headers: { "Retry-After": date(600_000) } });
    expect(Number((await api.get("/groupz")).headers["retry-after"])).toBeGreaterThan(590);
    advance(299_000);
    problem(await api.get("/groupz"), 429, "throttled");
    advance(2_000);
    expect((await api.get("/groupz")).status).toBe(200);
  });

  test.each([500, 502, 503])(
    "returns 502 with Azure's code for a %i from Azure, without a retry, and logs Azure's message",
    async (status) => {
      azure.failNext("arm", 1, { status, body: { error: { code: "ServerBusy", message: "internal-host-7" } } });
      const response = await api.get("/groupz");
      const text = problem(response, 502, "azure-failed");
      expect(text).toContain(`${status} ServerBusy`);
      expect(text).not.toContain("internal-host-7");
      expect(response.headers["retry-after"]).toBe("1");
      expect(logged).toContain("internal-host-7");
      expect(armRequests()).toHaveLength(1);
    },
  );

  test("returns 504 within 2 s when Azure does not respond", async () => {
    azure.latencyMs.arm = Number.POSITIVE_INFINITY;
    api = serve(impatient);
    const milliseconds = await measure(async () => {
      expect(problem(await api.get("/groupz"), 504, "azure-timeout")).toContain("300 ms");
    });
    expect(milliseconds).toBeLessThan(2_000);
  });

  test("returns 504 when Azure's response stops in the middle", async () => {
    const stop: RequestListener = (_req, res) => res.writeHead(200, { "Content-Length": 99 }).write("[");
    await withArm(stop, async (endpoint) => {
      api = serve({ AZURE_RESOURCE_MANAGER_ENDPOINT: endpoint, ...impatient });
      problem(await api.get("/groupz"), 504, "azure-timeout");
    });
  });

  test("returns 502 with the address when Azure is unreachable", async () => {
    api = serve({ AZURE_RESOURCE_MANAGER_ENDPOINT: "https://127.0.0.1:9" });
    const text = problem(await api.get("/groupz"), 502, "azure-unreachable");
    expect(text).toContain("https://127.0.0.1:9 (ECONNREFUSED)");
  });

  test.each([
    ["an HTML page", "<html>", {}],
    ["JSON without a list", { values: [] }, {}],
    ["an object instead of the list", { value: {} }, {}],
    ["broken JSON", "{", { "Content-Type": "application/json" }],
  ])("returns 502 for %s from Azure", async (_what, body, headers) => {
    azure.failNext("arm", 1, { status: 200, body, headers });
    problem(await api.get("/groupz"), 502, "azure-failed");
  });

  test("returns 502 when the second page fails", async () => {
    const page = { value: [{ name: "rg" }], nextLink: `${azure.httpsUrl}/subscriptions/${id}/resourcegroups` };
    azure.failNext("arm", 1, { status: 200, body: page });
    azure.failNext("arm", 1, { status: 500 });
    problem(await api.get("/groupz"), 502, "azure-failed");
    expect(armRequests()).toHaveLength(2);
  });

  test("returns 502 for a link to another host and sends that host no request", async () => {
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

  test("returns 502 with Azure's code and advice when Azure rejects the token", async () => {
    azure.failNext("arm", 1, { status: 401, body: { error: { code: "InvalidAuthenticationToken" } } });
    const response = await api.get("/groupz");
    expect(problem(response, 502, "token-refused")).toMatch(/InvalidAuthenticationToken.*restart/);
  });
});

describe("a list that cannot be refreshed", () => {
  const noCache = () => api.get("/groupz").set("Cache-Control", "no-cache");

  test("a stale list is returned for GROUPS_MAX_STALE_MS with the reason, and counted; after that the error is returned", async () => {
    api = serve({ GROUPS_MAX_STALE_MS: "60000" });
    await expectMetric("groups_age_seconds 0");
    await api.get("/groupz");
    await expectMetric("groups_stale_responses_total 0");
    azure.failNext("arm", 3, { status: 500 });
    advance(42_000);
    const response = await api.get("/groupz");
    expect(response.body).toEqual(["rg-b", "rg-a"]);
    expect(response.headers).toMatchObject({
      age: "42",
      "cache-control": "private, max-age=30",
      "cache-status": "group-lister; hit; ttl=-12; detail=azure-failed",
    });
    await expectMetric("groups_stale_responses_total 1");
    await expectMetric("groups_age_seconds 42");
    await expectMetric('azure_call_duration_seconds_count{operation="resource-manager",outcome="azure-failed"} 1');
    expect(logLines()).toContainEqual(
      expect.objectContaining({
        level: 40,
        msg: "failed to refresh the resource groups",
        err: expect.objectContaining({
          name: "AzureError",
          message: expect.stringMatching(/^Azure Resource Manager returned 500/),
        }),
      }),
    );
    advance(47_000);
    expect((await api.get("/groupz")).status).toBe(200);
    advance(2_000);
    problem(await api.get("/groupz"), 502, "azure-failed");
  });

  test("a no-cache request gets the error instead of a stale list", async () => {
    await api.get("/groupz");
    azure.failNext("arm", 1, { status: 500 });
    advance(2_000);
    problem(await noCache(), 502, "azure-failed");
    expect((await api.get("/groupz")).status).toBe(200);
  });

  test("a stale list is refreshed once Azure works again, after at most one request to Azure per second", async () => {
    await api.get("/groupz");
    azure.failNext("arm", 1, { status: 500 });
    advance(31_000);
    for (let i = 0; i < 5; i++) await api.get("/groupz");
    expect(armRequests()).toHaveLength(2);
    advance(1_001);
    expect((await api.get("/groupz")).headers["cache-status"]).toBe("group-lister; fwd=miss");
    expect(armRequests()).toHaveLength(3);
  });
});

describe("the credential", () => {
  function serveWithSecret(secret: string, authorityHost: string) {
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential");
    vi.stubEnv("AZURE_TENANT_ID", azure.tenantId);
    vi.stubEnv("AZURE_CLIENT_ID", sampleIdentity.clientId);
    vi.stubEnv("AZURE_CLIENT_SECRET", secret);
    return serve({ AZURE_AUTHORITY_HOST: authorityHost });
  }

  test("/groupz and /readyz return 503 with the remedy when there is no credential; only the log names what was tried", async () => {
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential");
    for (const [path, code] of [
      ["/groupz", "no-credential"],
      ["/readyz", "not-ready"],
    ] as const) {
      const response = await api.get(path);
      const text = problem(response, 503, code);
      expect(text).toMatch(/az login.*managed identity.*AZURE_CLIENT_ID/s);
      expect(text).not.toContain("EnvironmentCredential");
      const lines = logged.split("\n").filter((line) => line.includes(response.body.traceId));
      expect(lines.join()).toContain("- EnvironmentCredential is unavailable. No underlying credential could be used.");
      expect(response.headers["retry-after"]).toBe("1");
    }
    expect(armRequests()).toEqual([]);
  });

  test("returns 503 with the reason when AZURE_TOKEN_CREDENTIALS is invalid", async () => {
    vi.stubEnv("AZURE_TOKEN_CREDENTIALS", "nonsense");
    problem(await api.get("/groupz"), 503, "no-credential");
    expect(logged).toContain("AZURE_TOKEN_CREDENTIALS = nonsense");
  });

  test("returns 502 with Entra ID's error number, and no secret, when Entra ID rejects the credential", async () => {
    api = serveWithSecret("do-not-show-this", azure.httpsUrl);
    const response = await api.get("/groupz");
    const text = problem(response, 502, "credential-refused");
    expect(text).toContain("(AADSTS700016)");
    expect(text).not.toMatch(/EnvironmentCredential|[0-9a-f]{8}-/);
    expect(logged).toMatch(/- EnvironmentCredential.*AADSTS700016/);
    expect(problem(await api.get("/readyz"), 503, "not-ready")).toBe(text);
    expect(response.text + logged).not.toContain("do-not-show-this");
  });

  test("returns 502 with the origin of Entra ID when that is unreachable", async () => {
    api = serveWithSecret("x", "https://127.0.0.1:9");
    problem(await api.get("/groupz"), 502, "azure-unreachable");
    expect(logged).toContain("- https://127.0.0.1:9 did not respond: ECONNREFUSED");
  });

  test("returns 504 when the identity endpoint does not respond, and the search's error to later requests", async () => {
    azure.latencyMs.identity = Number.POSITIVE_INFINITY;
    // No token is cached for this resource.
    api = serve({ ...impatient, AZURE_AD_RESOURCE: "https://management.core.windows.net" });
    problem(await api.get("/groupz"), 504, "credential-slow");
    advance(1_000);
    // The SDK's client has the timeout of the first service in this process.
    await expect
      .poll(async () => {
        await api.get("/readyz");
        return logged;
      })
      .toContain("- ManagedIdentityCredential: Network unreachable");
    azure.latencyMs.identity = 0;
  });

  test("the token appears in no log line and no response", async () => {
    const response = await api.get("/groupz");
    azure.failNext("arm", 1, { status: 500 });
    advance(2_000);
    const failed = await api.get("/groupz").set("Cache-Control", "no-cache");
    expect(logged).toContain("failed to refresh");
    expect(logged + response.text + failed.text).not.toMatch(/eyJ|Bearer/);
  });
});

describe("the configuration", () => {
  const azureFor = (env: Record<string, string>) => azureOf(readGroupListerConfig(env));

  test("prefers AZURE_SUBSCRIPTION_ID to SUBSCRIPTION_ID and works without both", () => {
    const other = "00000000-0000-0000-0000-000000000002";
    expect(azureFor({ AZURE_SUBSCRIPTION_ID: id, SUBSCRIPTION_ID: other }).subscriptionId).toBe(id);
    expect(azureFor({ SUBSCRIPTION_ID: other }).subscriptionId).toBe(other);
    expect(azureFor({}).subscriptionId).toBe("");
  });

  test.each([
    ["AzurePublicCloud", "https://management.azure.com", "https://login.microsoftonline.com"],
    ["AzureUSGovernmentCloud", "https://management.usgovcloudapi.net", "https://login.microsoftonline.us"],
    ["AzureChinaCloud", "https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"],
  ])(
    "AZURE_ENVIRONMENT=%s sets the origins of Azure Resource Manager and Entra ID",
    (cloud, resourceManager, authorityHost) => {
      const env = { AZURE_ENVIRONMENT: cloud };
      expect(azureFor(env)).toMatchObject({ resourceManager, authorityHost, resource: resourceManager });
    },
  );

  test("explicit origins and resource take precedence over the cloud's", () => {
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

  test("waits 1.5 s for Azure by default, so that responses take less than 2 s", () => {
    expect(readGroupListerConfig({}).AZURE_TIMEOUT_MS).toBe(1_500);
  });

  test("has to check its callers on an address of other machines", () => {
    expect(() => readGroupListerConfig({ HOST: "0.0.0.0" })).toThrow(
      /^HOST="0.0.0.0" is not a loopback address[\s\S]*Set APP_API_TOKEN to the token of the service's sidecar/,
    );
    expect(readGroupListerConfig({ HOST: "0.0.0.0", APP_API_TOKEN: "t" }).HOST).toBe("0.0.0.0");
  });

  test("readGroupListerConfig reports every invalid variable in one error", () => {
    const wrong = { AZURE_SUBSCRIPTION_ID: "mine", AZURE_ENVIRONMENT: "Mars", GROUPS_MAX_AGE_MS: "30001" };
    expect(() => readGroupListerConfig({ ...wrong, AZURE_RESOURCE_MANAGER_ENDPOINT: "http://arm" })).toThrow(
      /AZURE_SUBSCRIPTION_ID="mine"[\s\S]*AZURE_ENVIRONMENT="Mars" must be one of[\s\S]*ENDPOINT="http:\/\/arm"[\s\S]*GROUPS_MAX_AGE_MS="30001"/,
    );
  });
});
