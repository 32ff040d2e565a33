// Tests the list with the real @azure/arm-resources, whose requests get responses that the test chooses. app.test.ts
// calls the Azure stand-in over HTTPS.
import { createHttpHeaders, type PipelineRequest } from "@azure/core-rest-pipeline";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createHttpClient, failureOf } from "../../../services/group-lister/azure/http.ts";
import { createResourceManager } from "../../../services/group-lister/azure/resource-manager.ts";

interface Response {
  readonly status: number;
  readonly body: unknown;
}

const http = vi.hoisted(() => ({ send: async (_request: PipelineRequest): Promise<unknown> => undefined }));
vi.mock("@azure/core-rest-pipeline", async (load) => ({
  ...(await load<object>()),
  createDefaultHttpClient: () => ({ sendRequest: (request: PipelineRequest) => http.send(request) }),
}));

const origin = "https://management.azure.com";
const id = "00000000-0000-0000-0000-000000000001";
let requests: PipelineRequest[];
let observed: [string, number][];
let found: object[];
const create = (subscriptionId = id) =>
  createResourceManager({
    origin,
    subscriptionId,
    credential: { getToken: async () => ({ token: "t", expiresOnTimestamp: 0 }) },
    timeoutMs: 700,
    observe: (outcome, seconds) => observed.push([outcome, seconds]),
    found: (subscription) => found.push(subscription),
  });
/** Lets Azure return what `respond` returns for the number of the request, a quarter of a second later. */
const answer = (respond: (index: number) => Response) => {
  http.send = async (request) => {
    const { status, body } = respond(requests.push(request) - 1);
    vi.advanceTimersByTime(250);
    return { request, status, headers: createHttpHeaders(), bodyAsText: JSON.stringify(body) };
  };
};
const page = (count: number, isLast: boolean): Response => ({
  status: 200,
  body: {
    value: Array.from({ length: count }, () => ({ name: "rg", location: "westeurope" })),
    ...(isLast ? {} : { nextLink: `${origin}/subscriptions/${id}/resourcegroups?api-version=1` }),
  },
});

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "performance"] });
  vi.advanceTimersByTime(1_000);
  requests = [];
  observed = [];
  found = [];
});
afterEach(() => void vi.useRealTimers());

describe("the list", () => {
  test("has up to 100 pages and 20,000 groups; more of either are an endless list", async () => {
    const endless = {
      kind: "azure-failed",
      message: "Azure Resource Manager returned an endless list",
      advice: "Check AZURE_RESOURCE_MANAGER_ENDPOINT.",
    };
    answer((index) => page(1, index === 99));
    expect((await create()()).groups).toHaveLength(100);
    requests = [];
    answer((index) => page(1, index === 100));
    await expect(create()()).rejects.toMatchObject(endless);
    answer(() => page(20_000, true));
    expect((await create()()).groups).toHaveLength(20_000);
    answer(() => page(20_001, true));
    await expect(create()()).rejects.toMatchObject(endless);
  });

  test.each([
    ["a list", page(1, true), "ok"],
    ["a rejected token", { status: 401, body: { error: { code: "InvalidAuthenticationToken" } } }, "token-refused"],
    ["throttling", { status: 429, body: {} }, "throttled"],
  ])("reports the outcome and the seconds of a request: %s", async (_what, response, outcome) => {
    answer(() => response);
    await create()().catch(() => {});
    expect(observed).toEqual([[outcome, 0.25]]);
  });

  test.each([
    [{ value: [{ location: "westeurope" }] }, "a resource group without a name", ["ok"]],
    [{ values: [] }, "a response that is not a list", ["ok"]],
    [{ value: [], nextLink: "https://[" }, "a response that is not a list", ["ok"]],
    [{ value: [], nextLink: "https://evil.example/" }, "a link to another host", ["ok", "azure-failed"]],
  ])("fails for %j: %s", async (body, what, outcomes) => {
    answer(() => ({ status: 200, body }));
    await expect(create()()).rejects.toMatchObject({
      kind: "azure-failed",
      message: `Azure Resource Manager returned ${what}`,
    });
    expect(requests).toHaveLength(1);
    expect(observed.map(([outcome]) => outcome)).toEqual(outcomes);
  });
});

describe("the subscription", () => {
  test("is the first one that is enabled and has an id", async () => {
    const value = [{ displayName: "without id", state: "Enabled" }, { subscriptionId: "off" }];
    answer((index) =>
      index === 0
        ? { status: 200, body: { value: [...value, { subscriptionId: id, state: "Enabled" }] } }
        : page(1, true),
    );
    expect((await create("")()).groups).toHaveLength(1);
    expect(found).toEqual([{ id, name: "" }]);
    expect(requests.map(({ url }) => new URL(url).pathname)).toEqual([
      "/subscriptions",
      `/subscriptions/${id}/resourcegroups`,
    ]);
  });

  test("has to exist: without one, the advice has the command that assigns the role", async () => {
    answer(() => ({ status: 200, body: { value: [] } }));
    await expect(create("")()).rejects.toMatchObject({
      kind: "forbidden",
      message: "The identity has access to no subscription",
      advice:
        "Assign it the role Reader on one: az role assignment create --role Reader " +
        "--scope /subscriptions/SUBSCRIPTION-ID --assignee-object-id OBJECT-ID",
    });
  });
});

describe("the HTTP client", () => {
  const request = (timeout: number) => ({ url: origin, timeout }) as PipelineRequest;

  test("sets the timeout of a request that has none", async () => {
    http.send = async ({ timeout }) => timeout;
    const client = await createHttpClient(700);
    expect([await client.sendRequest(request(0)), await client.sendRequest(request(5))]).toEqual([700, 5]);
  });

  test("ends a response of more than 8 MiB, and passes on other errors", async () => {
    const client = await createHttpClient(700);
    const download = (loadedBytes: number) => {
      http.send = async (request) => request.onDownloadProgress?.({ loadedBytes });
      return client.sendRequest(request(0)).catch((error) => error);
    };
    expect(await download(8_388_608)).toBeUndefined();
    const tooLarge = await download(8_388_609);
    expect(tooLarge).toEqual(new Error("a response of more than 8388608 bytes"));
    expect(failureOf(tooLarge)).toBe("too-large");
    const error = new Error("refused");
    http.send = () => Promise.reject(error);
    await expect(client.sendRequest(request(0))).rejects.toBe(error);
  });

  test("makes the list fail for a response that is too large", async () => {
    http.send = async (request) => request.onDownloadProgress?.({ loadedBytes: 9_000_000 });
    await expect(create()()).rejects.toMatchObject({
      kind: "azure-failed",
      message: "Azure Resource Manager returned a response that is too large",
    });
  });
});
