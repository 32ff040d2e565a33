import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import tls from "node:tls";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type Keys, loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { type Azure, AzureFault } from "../../../tools/release/azure/azure.ts";
import { createResourceManager } from "../../../tools/release/azure/resource-manager.ts";
import { createSignIn, type GetToken } from "../../../tools/release/azure/sign-in.ts";
import type { Clock } from "../../../tools/release/run/clock.ts";
import { measure } from "../../support/stopwatch.ts";

const app = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.App/containerApps/welcome";
const started: { close(): void }[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const server of started.splice(0)) server.close();
});

describe("readApp", () => {
  test("returns what the release tool needs, without what Azure shows as null", async () => {
    const { azure, requests } = await start((path) =>
      path === app ? shownApp() : { value: [shownRevision("welcome--b", 20), shownRevision("welcome--a", 10)] },
    );
    expect(await azure.readApp()).toEqual({
      mode: "Multiple",
      isBusy: false,
      traffic: [
        { revision: "welcome--a", weight: 95, label: "blue" },
        { revision: undefined, weight: 5 },
      ],
      tags: { team: "a", "release-progress": "id=1" },
      revisions: [
        expect.objectContaining({ name: "welcome--a" }),
        {
          name: "welcome--b",
          isActive: true,
          health: "healthy",
          state: "Running",
          createdAt: Date.parse("2026-10-05T08:00:20Z"),
          template: {
            containers: [{ name: "welcome", image: "r.example/welcome:1", env: [{ name: "WELCOME", value: "Hi" }] }],
            scale: { minReplicas: 1 },
          },
        },
      ],
      latestReadyRevision: "welcome--b",
      domain: "happy.westeurope.azurecontainerapps.io",
      isExternal: true,
      hasAffinity: false,
      secrets: [],
      failure: undefined,
    });
    expect(requests.map(({ method, url, headers }) => [method, url, headers.authorization])).toEqual([
      ["GET", `${app}?api-version=2026-07-01`, "Bearer token-1"],
      ["GET", `${app}/revisions?api-version=2026-07-01`, "Bearer token-1"],
    ]);
  });

  test.each([
    [
      "health that Azure does not document",
      { healthState: "Splendid", runningState: "Odd" },
      { health: "unknown", state: "Odd" },
    ],
    ["health None", { healthState: "None", runningState: "Processing" }, { health: "unknown", state: "Processing" }],
    [
      "no state at all",
      { healthState: null, runningState: null, provisioningState: null },
      { health: "unknown", state: "Unknown" },
    ],
    [
      "an error with its state",
      { runningState: "Failed", provisioningError: "Container 'x'\ncrashed." },
      { state: "Failed: Container 'x' crashed." },
    ],
    ["ill health", { healthState: "Unhealthy", runningState: "Degraded" }, { health: "unhealthy", state: "Degraded" }],
  ])("reads %s", async (_, states, expected) => {
    const { azure } = await start((path) =>
      path === app ? shownApp() : { value: [shownRevision("welcome--a", 1, states)] },
    );
    expect((await azure.readApp()).revisions[0]).toMatchObject(expected);
  });

  test.each([
    ["an app without ingress", { ingress: null }, { domain: undefined, isExternal: false, traffic: [] }],
    ["an app with ingress for TCP", { ingress: { ...shownIngress(), transport: "Tcp" } }, { domain: undefined }],
    [
      "sticky sessions",
      { ingress: { ...shownIngress(), stickySessions: { affinity: "sticky" } } },
      { hasAffinity: true },
    ],
    ["the mode Labels", { activeRevisionsMode: "Labels" }, { mode: "Labels" }],
    [
      "an internal app",
      { ingress: { ...shownIngress(), external: false, fqdn: "welcome.internal.happy.example" } },
      { isExternal: false, domain: "internal.happy.example" },
    ],
  ])("reads %s", async (_, configuration, expected) => {
    const { azure } = await start((path) =>
      path === app ? shownApp({ configuration: { ...shownConfiguration(), ...configuration } }) : { value: [] },
    );
    expect(await azure.readApp()).toMatchObject(expected);
  });

  test("reads an app as busy while Azure applies a change", async () => {
    const { azure } = await start((path) =>
      path === app ? shownApp({ provisioningState: "InProgress" }) : { value: [] },
    );
    expect((await azure.readApp()).isBusy).toBe(true);
  });

  test("follows the pages of the revisions", async () => {
    const { azure, origin } = await start((path, url) => {
      if (path === app) return shownApp();
      const page = Number(url.searchParams.get("page") ?? 1);
      const nextLink = page < 3 ? `${origin()}${app}/revisions?page=${page + 1}` : null;
      return { value: [shownRevision(`welcome--${page}`, page)], nextLink };
    });
    expect((await azure.readApp()).revisions.map(({ name }) => name)).toEqual([
      "welcome--1",
      "welcome--2",
      "welcome--3",
    ]);
  });

  test("does not send the token to another host that a page links to", async () => {
    const other = await serve(() => ({ value: [] }));
    const { azure } = await start((path) =>
      path === app ? shownApp() : { value: [], nextLink: `${other.origin}${app}/revisions` },
    );
    await expect(azure.readApp()).rejects.toThrow("a link to another host");
    expect(other.requests).toEqual([]);
  });

  test("ends with an error when the pages form a loop", async () => {
    const { azure, origin, requests } = await start((path) =>
      path === app ? shownApp() : { value: [], nextLink: `${origin()}${app}/revisions` },
    );
    await expect(azure.readApp()).rejects.toThrow("an endless list");
    expect(requests.length).toBeLessThan(60);
  });

  test("knows the time of Azure from its last response", async () => {
    const { azure } = await start((path, _url, response) => {
      response.setHeader("Date", path === app ? "Mon, 05 Oct 2026 08:00:00 GMT" : "Mon, 05 Oct 2026 08:00:07 GMT");
      return path === app ? shownApp() : { value: [] };
    });
    await azure.readApp();
    expect(new Date(azure.now()).toISOString()).toBe("2026-10-05T08:00:07.000Z");
  });
});

describe("reads", () => {
  test("are sent three times, after the pause that Azure asks for or a growing one", async () => {
    const statuses = [503, 429];
    const { azure, requests, slept } = await start((path, _url, response) => {
      const status = path === app ? statuses.shift() : undefined;
      if (status === 429) response.setHeader("Retry-After", "7");
      return status === undefined
        ? path === app
          ? shownApp()
          : { value: [] }
        : failure(response, status, "Busy", "later");
    });
    await azure.readApp();
    expect(requests.filter(({ url }) => url?.startsWith(`${app}?`))).toHaveLength(3);
    expect(slept).toEqual([1000, 7000]);
  });

  test("give up after three errors, and at once when Azure asks for a pause of minutes", async () => {
    let after: string | undefined;
    const { azure, requests } = await start((_path, _url, response) => {
      if (after !== undefined) response.setHeader("Retry-After", after);
      return failure(response, 429, "TooManyRequests", "later");
    });
    await expect(azure.readApp()).rejects.toMatchObject({ kind: "busy", retryAfter: undefined });
    expect(requests).toHaveLength(3);
    after = "300";
    await expect(azure.readApp()).rejects.toMatchObject({ kind: "busy", retryAfter: 300 });
    expect(requests).toHaveLength(4);
  });

  test("understand a date in Retry-After as time after Azure's own", async () => {
    const { azure } = await start((_path, _url, response) => {
      response.setHeader("Date", "Mon, 05 Oct 2026 08:00:00 GMT");
      response.setHeader("Retry-After", "Mon, 05 Oct 2026 08:01:30 GMT");
      return failure(response, 503, "ServerBusy", "later");
    });
    await expect(azure.readApp()).rejects.toMatchObject({ kind: "unreachable", retryAfter: 90 });
  });

  test("use one connection for requests that follow each other", async () => {
    const { azure, connections } = await start((path) => (path === app ? shownApp() : { value: [] }));
    for (let round = 0; round < 5; round++) await azure.readApp();
    expect(connections()).toBe(1);
  });

  test("are not sent again when Azure rejects them", async () => {
    const { azure, requests } = await start((_path, _url, response) => failure(response, 400, "Bad", "no"));
    await expect(azure.readApp()).rejects.toMatchObject({ kind: "rejected" });
    expect(requests).toHaveLength(1);
  });

  test("refuse a response of more than 8 MiB, and one that is not JSON", async () => {
    const { azure } = await start(() => "x".repeat(9 * 1_048_576));
    await expect(azure.readApp()).rejects.toThrow(/sent a response that is too large/);
    const { azure: other } = await start(() => "<html>A proxy</html>");
    await expect(other.readApp()).rejects.toThrow(
      /returned a response that is not JSON\. Check .*AZURE_RESOURCE_MANAGER/,
    );
  });
});

describe("faults", () => {
  test.each([
    [409, "ContainerAppOperationInProgress", "Another operation is in progress.", "busy"],
    [400, "ProviderError", 'Failed: {"error":{"code":"ContainerAppOperationInProgress"}}', "busy"],
    [409, "Conflict", "Not now.", "busy"],
    [429, "TooManyRequests", "Too many.", "busy"],
    [409, "ScopeLocked", "The scope is locked.", "denied"],
    [401, "InvalidAuthenticationToken", "The token is wrong.", "denied"],
    [
      403,
      "AuthorizationFailed",
      "The client does not have authorization to perform action 'Microsoft.App/containerApps/write' over scope",
      "denied",
    ],
    [404, "ResourceNotFound", "The resource was not found.", "missing"],
    [400, "InvalidTemplate", "The template is wrong.", "rejected"],
    [412, "PreconditionFailed", "No.", "rejected"],
    [500, "InternalServerError", "Oops.", "unreachable"],
    [504, "GatewayTimeout", "Slow.", "unreachable"],
  ])("%i %s is %s: %s", async (status, code, message, kind) => {
    const { azure, requests } = await start((_path, _url, response) => failure(response, status, code, message));
    await expect(azure.patch({ tags: {} })).rejects.toMatchObject({ kind });
    // A write is sent once. 401: Azure did not accept the token, so another one is tried.
    expect(requests).toHaveLength(status === 401 ? 2 : 1);
  });

  test("name the missing permission and the command that assigns a role with it", async () => {
    const message =
      "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.App/containerApps/read' over scope '/x'";
    const { azure } = await start((_path, _url, response) => failure(response, 403, "AuthorizationFailed", message));
    await expect(azure.readApp()).rejects.toThrow(
      "The identity has no permission for the container app welcome in the resource group rg. " +
        "Missing: Microsoft.App/containerApps/read. " +
        `For a person: \`az role assignment create --role Contributor --assignee o --scope ${app}\`. ` +
        "For a workflow, deploy infra/bicep/releaser.bicep",
    );
  });

  test("name the app that is missing, and the command that lists apps", async () => {
    const { azure } = await start((_path, _url, response) => failure(response, 404, "ResourceNotFound", "Not found."));
    await expect(azure.readApp()).rejects.toThrow(
      "Azure does not find the container app welcome in the resource group rg (ResourceNotFound). " +
        "Check the names: `az containerapp list --resource-group rg --subscription sub --output table`.",
    );
  });

  test("of an address that nothing listens on are reported within 2 seconds, with the setting", async () => {
    const { azure, close } = await start(() => ({}));
    close();
    const milliseconds = await measure(() =>
      expect(azure.readApp()).rejects.toThrow(
        /is unreachable \(ECONNREFUSED\)\. Check .*AZURE_RESOURCE_MANAGER_ENDPOINT/,
      ),
    );
    expect(milliseconds).toBeLessThan(2_000);
  });

  test("of the proxy that HTTPS_PROXY names are told from those of Azure", async () => {
    const targets: (string | undefined)[] = [];
    const proxy = createServer().on("connect", ({ url }, socket) => {
      targets.push(url);
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    started.push({ close: () => proxy.close() });
    const address = proxy.address();
    vi.stubEnv("HTTPS_PROXY", `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`);
    const getToken = async () => "token-1";
    const origin = "https://management.example";
    const logs = { origin, getToken, workspace: undefined };
    const target = { subscription: "sub", resourceGroup: "rg", app: "welcome" };
    const clock: Clock = { now: () => 0, sleep: async () => {} };
    const azure = createResourceManager({ target, origin, getToken, logs, clock });
    await expect(azure.readApp()).rejects.toThrow("A response with status 403 is not from Azure. A proxy");
    expect(new Set(targets)).toEqual(new Set(["management.example:443"]));
  });

  test("name no token", async () => {
    const { azure } = await start((_path, _url, response) =>
      failure(response, 401, "ExpiredAuthenticationToken", "Expired."),
    );
    const fault: unknown = await azure.readApp().catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(AzureFault);
    expect(`${fault} ${JSON.stringify(fault)} ${(fault as Error).cause}`).not.toContain("token-");
  });
});

describe("a token that Azure no longer accepts", () => {
  test("is replaced once, for a read and for a write", async () => {
    const { azure, requests } = await start((path, _url, response, request) => {
      if (request.headers.authorization === "Bearer token-1")
        return failure(response, 401, "ExpiredAuthenticationToken", "Expired.");
      return path === app ? shownApp() : { value: [] };
    });
    await azure.patch({ tags: { a: "b" } });
    expect(requests.map(({ method, headers }) => [method, headers.authorization])).toEqual([
      ["PATCH", "Bearer token-1"],
      ["PATCH", "Bearer token-2"],
    ]);
  });
});

describe("patch", () => {
  test("sends only what changes", async () => {
    const { azure, requests } = await start(() => ({}));
    await azure.patch({
      mode: "Multiple",
      traffic: [
        { revision: "welcome--a", weight: 95, label: "blue" },
        { revision: undefined, weight: 5 },
      ],
      tags: { "release-progress": "id=1" },
    });
    expect(requests.map(({ method, url }) => [method, url])).toEqual([["PATCH", `${app}?api-version=2026-07-01`]]);
    expect(JSON.parse(requests[0]?.body ?? "")).toEqual({
      tags: { "release-progress": "id=1" },
      properties: {
        configuration: {
          activeRevisionsMode: "Multiple",
          ingress: {
            traffic: [
              { revisionName: "welcome--a", weight: 95, label: "blue" },
              { latestRevision: true, weight: 5 },
            ],
          },
        },
      },
    });
  });

  test("removes from the template what a rejected candidate had and the new template has not", async () => {
    const { azure, requests } = await start((path) => (path === app ? shownApp() : { value: [] }));
    await azure.readApp();
    await azure.patch({
      template: { revisionSuffix: "r1", containers: [{ name: "welcome", image: "i:2" }], scale: { minReplicas: 1 } },
    });
    expect(JSON.parse(requests.at(-1)?.body ?? "")).toEqual({
      properties: {
        template: {
          revisionSuffix: "r1",
          containers: [{ name: "welcome", image: "i:2" }],
          scale: { minReplicas: 1, cooldownPeriod: null },
          volumes: null,
          terminationGracePeriodSeconds: null,
        },
      },
    });
  });
});

describe("a change that Azure accepts and then fails", () => {
  const error = {
    code: "ContainerAppOperationError",
    message:
      "Failed to provision revision for container app 'welcome'. Error details: The following field(s) are either " +
      "invalid or missing. Field 'template.containers.welcome.image' is invalid with details: 'Invalid value: " +
      '"r.example/welcome:2": GET https:: MANIFEST_UNKNOWN: manifest unknown; map[]\';..',
  };
  const reason = 'Invalid value: "r.example/welcome:2": GET https:: MANIFEST_UNKNOWN: manifest unknown; map[]';
  const template = { containers: [{ name: "welcome", image: "r.example/welcome:2" }] };
  const operation = "/subscriptions/sub/providers/Microsoft.App/locations/westeurope/containerappOperationStatuses/1";

  /** @param header of the response to the PATCH @param address of the operation, default: at the same origin */
  async function fail(header: string, explain: (response: ServerResponse) => unknown, address?: string) {
    const server = await start((path, _url, response, { method }) => {
      if (path === operation) return explain(response);
      if (path !== app) return { value: [shownRevision("welcome--a", 1)] };
      if (method === "PATCH") {
        response.statusCode = 202;
        response.setHeader(header, address ?? `${server.origin()}${operation}?api-version=2026-07-01`);
      }
      return shownApp({ provisioningState: "Failed", template });
    });
    await server.azure.patch({ tags: {} });
    const { failure: first } = await server.azure.readApp();
    const { failure: second } = await server.azure.readApp();
    const asked = server.requests.filter(({ url }) => url?.startsWith(operation)).length;
    return { first, second, asked };
  }

  test("has the reason from its operation, which is asked once", async () => {
    const status = await fail("Azure-AsyncOperation", () => ({ id: operation, status: "Failed", error }));
    expect(status).toEqual({ first: reason, second: reason, asked: 1 });
    const result = await fail("Location", (response) => {
      response.statusCode = 409;
      return { error };
    });
    expect(result).toEqual({ first: reason, second: reason, asked: 1 });
  });

  test("names the image when the identity may not read the operation, and asks again when Azure was unreachable", async () => {
    const unknown = "r.example/welcome:2: Azure does not say why";
    const denied = await fail("Location", (response) => failure(response, 403, "AuthorizationFailed", "No."));
    expect(denied).toMatchObject({ first: unknown, second: unknown });
    const statuses = [503];
    const late = await fail("Location", (response) => failure(response, statuses.shift() ?? 409, "Code", "Why."));
    expect(late).toEqual({ first: unknown, second: "r.example/welcome:2: Code: Why.", asked: 2 });
  });

  test("sends the token to no other host that is named as its operation", async () => {
    const other = await serve(() => ({ error }));
    const { first } = await fail("Location", () => ({}), `${other.origin}${operation}`);
    expect(first).toBe("r.example/welcome:2: Azure does not say why");
    expect(other.requests).toEqual([]);
  });
});

describe("a request without a response", () => {
  afterEach(() => vi.useRealTimers());
  const from = Date.parse("2026-10-05T08:00:00Z");

  test.each<[string, number, (azure: Azure) => Promise<unknown>]>([
    ["a read of the app", 10, (azure) => azure.readApp()],
    ["a read of replicas", 10, (azure) => azure.readReplicas("welcome--a")],
    ["an activation", 10, (azure) => azure.setActive("welcome--a", true)],
    ["a PATCH", 30, (azure) => azure.patch({ tags: {} })],
    ["a count of errors", 60, (azure) => azure.countErrors(from, from + 600_000)],
    ["a count of slow requests", 60, (azure) => azure.countSlow(from, from + 600_000, 1)],
  ])("ends %s after %i s", async (_, seconds, send) => {
    const { azure, requests } = await start(() => new Promise(() => {}));
    await import("@azure/core-rest-pipeline"); // before its timers are fake ones
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let fault: unknown;
    const ended = send(azure).catch((error: unknown) => {
      fault = error;
    });
    while (requests.length === 0) await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(seconds * 1_000 - 1);
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    expect(fault).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    await ended;
    expect(fault).toMatchObject({ kind: "unreachable", message: expect.stringContaining(`within ${seconds} s.`) });
  });
});

test("setActive activates and deactivates a revision", async () => {
  const { azure, requests } = await start(() => ({}));
  await azure.setActive("welcome--a", true);
  await azure.setActive("welcome--a", false);
  expect(requests.map(({ method, url }) => [method, url])).toEqual([
    ["POST", `${app}/revisions/welcome--a/activate?api-version=2026-07-01`],
    ["POST", `${app}/revisions/welcome--a/deactivate?api-version=2026-07-01`],
  ]);
});

describe("readReplicas", () => {
  test("adds up the restarts of a replica's containers; it is ready when all of them are, else it says why not", async () => {
    const { azure } = await start(() => ({
      value: [
        {
          name: "one",
          properties: {
            containers: [
              { ready: true, restartCount: 1 },
              { ready: true, restartCount: 2 },
            ],
          },
        },
        {
          name: "two",
          properties: {
            containers: [{ ready: true }, { ready: false, restartCount: 0, runningStateDetails: "CrashLoopBackOff" }],
          },
        },
        { name: "new", properties: {} },
      ],
    }));
    expect(await azure.readReplicas("welcome--a")).toEqual([
      { name: "one", isReady: true, restarts: 3 },
      { name: "two", isReady: false, restarts: 0, details: "CrashLoopBackOff" },
      { name: "new", isReady: false, restarts: 0 },
    ]);
  });

  test("returns none for a revision that Azure does not list yet", async () => {
    const { azure } = await start((_path, _url, response) => failure(response, 404, "ResourceNotFound", "Not found."));
    expect(await azure.readReplicas("welcome--a")).toEqual([]);
  });
});

describe("countErrors", () => {
  const minute = (n: number) => `2026-10-05T08:0${n}:00Z`;
  const at = (n: number, seconds = 0) => Date.parse(minute(n)) + seconds * 1000;
  const series = (revision: string, category: string, totals: (number | null)[]) => ({
    metadatavalues: [
      { name: { value: "revisionname" }, value: revision },
      { name: { value: "statuscodecategory" }, value: category },
    ],
    data: totals.map((total, index) => ({ timeStamp: minute(index), ...(total === null ? {} : { total }) })),
  });

  test("asks for whole minutes of all revisions, and adds up those inside the window", async () => {
    const { azure, requests } = await start(() => ({
      value: [
        {
          timeseries: [
            series("welcome--a", "2xx", [1000, 10, 20, 500]),
            series("welcome--a", "5xx", [1000, 1, null, 500]),
            series("welcome--b", "5xx", [0, 2, 3, 0]),
            series("welcome--b", "4xx", [0, 1, 0, 0]),
          ],
        },
      ],
    }));
    const counts = await azure.countErrors(at(0, 30), at(3, 29));
    expect(Object.fromEntries(counts)).toEqual({
      "welcome--a": { bad: 1, total: 31 },
      "welcome--b": { bad: 5, total: 6 },
    });
    const url = new URL(requests[0]?.url ?? "", "http://localhost");
    expect(url.pathname).toBe(`${app}/providers/Microsoft.Insights/metrics`);
    expect(Object.fromEntries(url.searchParams)).toEqual({
      "api-version": "2023-10-01",
      metricnames: "Requests",
      aggregation: "Total",
      interval: "PT1M",
      timespan: "2026-10-05T08:01:00.000Z/2026-10-05T08:03:00.000Z",
      $filter: "revisionName eq '*' and statusCodeCategory eq '*'",
      top: "1000",
    });
  });

  test("sends no request for a window without a whole minute", async () => {
    const { azure, requests } = await start(() => ({}));
    expect((await azure.countErrors(at(1, 1), at(2, 59))).size).toBe(0);
    expect((await azure.countErrors(at(3), at(1))).size).toBe(0);
    expect(requests).toEqual([]);
  });

  test("counts nothing when Azure has no series", async () => {
    const { azure } = await start(() => ({ value: [{ timeseries: [] }] }));
    expect((await azure.countErrors(at(0), at(3))).size).toBe(0);
  });
});

describe("countSlow", () => {
  const from = Date.parse("2026-10-05T08:00:30Z");
  const to = Date.parse("2026-10-05T08:05:10Z");

  test("queries the logs of the workspace, without requests to labels", async () => {
    const { azure, requests } = await start(() => ({
      tables: [
        {
          name: "PrimaryResult",
          columns: [{ name: "RevisionName" }, { name: "total" }, { name: "bad" }],
          rows: [
            ["welcome--a", 90, 3],
            ["welcome--b", 10, 2],
          ],
        },
      ],
    }));
    expect(Object.fromEntries(await azure.countSlow(from, to, 0.5))).toEqual({
      "welcome--a": { bad: 3, total: 90 },
      "welcome--b": { bad: 2, total: 10 },
    });
    expect(requests.map(({ method, url, body }) => [method, url, JSON.parse(body)])).toEqual([
      [
        "POST",
        "/v1/workspaces/11111111-2222-3333-4444-555555555555/query",
        {
          query:
            "ContainerAppHTTPLogs | where TimeGenerated >= datetime(2026-10-05T08:01:00.000Z)" +
            " and TimeGenerated < datetime(2026-10-05T08:05:00.000Z)" +
            ' | where ContainerAppName == "welcome" and Authority !startswith "welcome---"' +
            " | summarize total = count(), bad = countif(RequestDuration > 500) by RevisionName",
        },
      ],
    ]);
  });

  test("says what to do when the workspace has no such table", async () => {
    const { azure } = await start((_path, _url, response) => {
      response.statusCode = 400;
      const innermost = { code: "SEM0100", message: "Failed to resolve table or column expression named 'X'" };
      const innererror = { code: "SemanticError", message: "A semantic error occurred.", innererror: innermost };
      return { error: { code: "BadArgumentError", message: "The request had some invalid properties", innererror } };
    });
    await expect(azure.countSlow(from, to, 0.5)).rejects.toMatchObject({
      kind: "missing",
      message: expect.stringContaining("a diagnostic setting with the category ContainerAppHTTPLogs"),
    });
  });

  test("names the role when the identity must not read the logs", async () => {
    const { azure } = await start((_path, _url, response) => failure(response, 403, "InsufficientAccessError", "No."));
    await expect(azure.countSlow(from, to, 0.5)).rejects.toThrow(
      "`az role assignment create --role 'Log Analytics Reader' --assignee OBJECT-ID --scope WORKSPACE-ID`",
    );
  });

  test("names the setting when no workspace is set", async () => {
    const { azure, requests } = await start(() => ({}), { workspace: undefined });
    await expect(azure.countSlow(from, to, 0.5)).rejects.toThrow("Set AZURE_LOG_ANALYTICS_WORKSPACE_ID to the id");
    expect(requests).toEqual([]);
  });
});

describe("sign-in in GitHub Actions", () => {
  let keys: Keys;
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), "release-"));
    keys = await loadKeys(join(folder, "keys"));
    rmSync(folder, { recursive: true });
    tls.setDefaultCACertificates([...tls.getCACertificates("default"), keys.ca]);
  });

  /** The only one that the identity of the workflow trusts. */
  const [, audience] =
    /audiences: \[\s*'([^']+)'\s*\]/.exec(readFileSync("infra/bicep/modules/releaser-identity.bicep", "utf8")) ?? [];

  /** Entra ID, and the endpoint of GitHub that issues assertions. */
  async function startEntra(exchange: (assertion: string | null, response: ServerResponse) => object) {
    let assertions = 0;
    const entra = await serve((path, url, response, request, body) => {
      if (path === "/assertion") {
        expect(request.headers.authorization).toBe("Bearer of-github");
        expect(Object.fromEntries(url.searchParams)).toEqual({ api: "1", audience });
        return { value: `assertion-${++assertions}` };
      }
      if (path.endsWith("/token")) return exchange(new URLSearchParams(body).get("client_assertion"), response);
      const tenant = `${entra.origin}/tenant`;
      return {
        token_endpoint: `${tenant}/token`,
        authorization_endpoint: `${tenant}/authorize`,
        issuer: `${tenant}/v2.0`,
        jwks_uri: `${tenant}/keys`,
      };
    }, keys);
    return createSignIn({
      resource: "https://management.azure.com",
      authorityHost: entra.origin,
      env: {
        ACTIONS_ID_TOKEN_REQUEST_URL: `${entra.origin}/assertion?api=1`,
        ACTIONS_ID_TOKEN_REQUEST_TOKEN: "of-github",
        AZURE_CLIENT_ID: "client",
        AZURE_TENANT_ID: "tenant",
      },
    });
  }

  test("exchanges a fresh assertion for each token, and keeps the token until Azure rejects it", async () => {
    const used: (string | null)[] = [];
    const getToken = await startEntra((assertion) => {
      used.push(assertion);
      return { token_type: "Bearer", expires_in: 3600, access_token: `token-${used.length}` };
    });
    expect(await getToken({ isRejected: false })).toBe("token-1");
    expect(await getToken({ isRejected: false })).toBe("token-1");
    expect(await getToken({ isRejected: true })).toBe("token-2");
    expect(new Set(used).size).toBe(2);
  });

  test("says what to set when Entra ID rejects the assertion", async () => {
    const getToken = await startEntra((_assertion, response) => {
      response.statusCode = 400;
      const description = "AADSTS700213: No matching federated identity record found. Trace ID: x";
      return { error: "invalid_client", error_description: description };
    });
    await expect(getToken({ isRejected: false })).rejects.toMatchObject({
      kind: "denied",
      message: expect.stringMatching(/federated credential.*AADSTS700213/),
    });
  });
});

function shownIngress() {
  return {
    fqdn: "welcome.happy.westeurope.azurecontainerapps.io",
    external: true,
    transport: "Http",
    traffic: [
      { revisionName: "welcome--a", weight: 95, label: "blue" },
      { latestRevision: true, weight: 5, label: null },
    ],
    stickySessions: null,
  };
}

function shownConfiguration() {
  return { activeRevisionsMode: "Multiple", ingress: shownIngress() };
}

function shownApp(properties: object = {}) {
  return {
    name: "welcome",
    tags: { team: "a", "release-progress": "id=1" },
    properties: {
      provisioningState: "Succeeded",
      latestReadyRevisionName: "welcome--b",
      configuration: shownConfiguration(),
      template: {
        revisionSuffix: "",
        containers: [{ name: "rejected" }],
        volumes: [{ name: "v" }],
        terminationGracePeriodSeconds: 30,
        scale: { minReplicas: 0, cooldownPeriod: 300 },
      },
      ...properties,
    },
  };
}

function shownRevision(name: string, second: number, states: object = {}) {
  return {
    name,
    properties: {
      active: true,
      createdTime: `2026-10-05T08:00:${second < 10 ? `0${second}` : second}+00:00`,
      healthState: "Healthy",
      provisioningState: "Provisioned",
      runningState: "Running",
      template: {
        terminationGracePeriodSeconds: null,
        volumes: null,
        containers: [
          { name: "welcome", image: "r.example/welcome:1", env: [{ name: "WELCOME", value: "Hi", secretRef: null }] },
        ],
        scale: { minReplicas: 1, rules: null },
      },
      ...states,
    },
  };
}

type Handler = (path: string, url: URL, response: ServerResponse, request: IncomingMessage, body: string) => unknown;

interface Received {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Answers every request with JSON, or with the text that the handler returns. */
async function serve(handler: Handler, keys?: Keys) {
  const requests: Received[] = [];
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request);
    const { method, url, headers } = request;
    requests.push({ method, url, headers, body });
    const parsed = new URL(url ?? "", "http://localhost");
    const content = await handler(parsed.pathname, parsed, response, request, body);
    response.setHeader("content-type", "application/json");
    response.end(typeof content === "string" ? content : JSON.stringify(content));
  };
  const server = (keys ? createTlsServer(keys, listener) : createServer(listener)).listen(0, "127.0.0.1");
  let connections = 0;
  server.on("connection", () => connections++);
  await once(server, "listening");
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  started.push({ close });
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  return { origin: `${keys ? "https" : "http"}://127.0.0.1:${port}`, requests, close, connections: () => connections };
}

function failure(response: ServerResponse, status: number, code: string, message: string) {
  response.statusCode = status;
  return { error: { code, message } };
}

async function start(
  handler: Handler,
  { workspace }: { workspace: string | undefined } = { workspace: "11111111-2222-3333-4444-555555555555" },
) {
  const server = await serve(handler);
  const slept: number[] = [];
  const clock: Clock = {
    now: () => Date.parse("2026-10-05T08:00:00Z"),
    async sleep(milliseconds) {
      slept.push(milliseconds);
    },
  };
  let tokens = 1;
  const getToken: GetToken = async ({ isRejected }) => `token-${isRejected ? ++tokens : tokens}`;
  const { origin, requests, close, connections } = server;
  const target = { subscription: "sub", resourceGroup: "rg", app: "welcome" };
  const azure = createResourceManager({ target, origin, getToken, logs: { origin, getToken, workspace }, clock });
  return { azure, requests, close, connections, slept, origin: () => origin };
}
