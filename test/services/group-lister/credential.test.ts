// How a token is searched for and kept, with a chain of credentials that the test replaces. app.test.ts and
// process.test.ts use the SDK's own.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createCredential } from "../../../services/group-lister/azure/credential.ts";
import { explainCredentialError } from "../../../services/group-lister/azure/credential-error.ts";

interface ChainOptions {
  readonly httpClient: { sendRequest(request: { url: string; timeout: number }): Promise<unknown> };
}
type Search = (scope: string, options: object) => Promise<{ token: string; expiresOnTimestamp: number }>;

const chain = vi.hoisted(() => ({
  options: [] as ChainOptions[],
  search: (async () => ({ token: "t", expiresOnTimestamp: 0 })) as Search,
  send: async (_request: { url: string }): Promise<unknown> => ({}),
}));
vi.mock("@azure/identity", () => ({
  DefaultAzureCredential: class {
    constructor(options: ChainOptions) {
      chain.options.push(options);
    }
    getToken(scope: string, options: object) {
      return chain.search(scope, options);
    }
  },
}));
vi.mock("@azure/core-rest-pipeline", async (load) => ({
  ...(await load<object>()),
  createDefaultHttpClient: () => ({ sendRequest: (request: { url: string }) => chain.send(request) }),
}));

const NOW = Date.UTC(2026, 0, 1);
const resource = "https://management.azure.com";
let searches: { scope: string; options: object }[];
let observed: string[];
const create = (more: { clientId?: string; authorityHost?: string; timeoutMs?: number; observe?: () => void } = {}) =>
  createCredential({
    resource,
    clientId: "",
    authorityHost: "https://login.microsoftonline.com",
    timeoutMs: 1_000,
    observe: (outcome) => observed.push(outcome),
    ...more,
  });
/** Lets the chain return a token that expires after this time, or fail. */
const answer = (outcome: { token: string; expiresIn: number } | Error) => {
  chain.search = async (scope, options) => {
    searches.push({ scope, options });
    if (outcome instanceof Error) throw outcome;
    return { token: outcome.token, expiresOnTimestamp: Date.now() + outcome.expiresIn };
  };
};

beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ["Date", "setTimeout", "clearTimeout"] });
  chain.options.length = 0;
  chain.send = async () => ({});
  searches = [];
  observed = [];
  answer({ token: "first", expiresIn: 3_600_000 });
});
afterEach(() => void vi.useRealTimers());

describe("the token", () => {
  test("is for the resource, whatever the scopes, and declared expired, so that the SDK does not keep it", async () => {
    const credential = create();
    expect(await credential.getToken("another/.default")).toEqual({ token: "first", expiresOnTimestamp: 0 });
    expect(searches).toStrictEqual([{ scope: `${resource}/.default`, options: { enableCae: true } }]);
    expect(observed).toEqual(["ok"]);
  });

  test("is kept until two minutes before it expires, and is used while the next one is searched", async () => {
    const credential = create();
    await credential.getToken(resource);
    answer({ token: "second", expiresIn: 3_600_000 });
    vi.setSystemTime(NOW + 3_600_000 - 120_001);
    expect((await credential.getToken(resource)).token).toBe("first");
    expect(searches).toHaveLength(1);
    vi.setSystemTime(NOW + 3_600_000 - 120_000);
    expect((await credential.getToken(resource)).token).toBe("first");
    await vi.waitFor(() => expect(observed).toHaveLength(2));
    expect((await credential.getToken(resource)).token).toBe("second");
    expect(chain.options).toHaveLength(1);
  });

  test("is used until it expires while the search fails, which is not repeated within a second", async () => {
    const credential = create();
    await credential.getToken(resource);
    answer(new Error("no credential"));
    vi.setSystemTime(NOW + 3_600_000 - 1_000);
    expect((await credential.getToken(resource)).token).toBe("first");
    await vi.waitFor(() => expect(observed).toEqual(["ok", "no-credential"]));
    vi.setSystemTime(NOW + 3_600_000 - 1);
    expect((await credential.getToken(resource)).token).toBe("first");
    expect(searches).toHaveLength(2);
    vi.setSystemTime(NOW + 3_600_000);
    await expect(credential.getToken(resource)).rejects.toMatchObject({ kind: "no-credential" });
    expect(searches).toHaveLength(2);
    vi.setSystemTime(NOW + 3_602_000);
    await expect(credential.getToken(resource)).rejects.toMatchObject({ kind: "no-credential" });
    await expect(credential.getToken(resource)).rejects.toMatchObject({ kind: "no-credential" });
    expect(searches).toHaveLength(3);
  });

  test("is waited for as long as the timeout, and the search continues", async () => {
    const found = Promise.withResolvers<{ token: string; expiresOnTimestamp: number }>();
    chain.search = () => found.promise;
    const credential = create();
    const slow = expect(credential.getToken(resource)).rejects.toMatchObject({
      kind: "credential-slow",
      message: "No credential returned a token within 1000 ms",
      advice: "The search continues. Retry to see its result.",
    });
    await vi.advanceTimersByTimeAsync(1_000);
    await slow;
    found.resolve({ token: "late", expiresOnTimestamp: Date.now() + 600_000 });
    expect((await credential.getToken(resource)).token).toBe("late");
  });

  test("with claims is a new one; each search passes the first claims that waited for it, once", async () => {
    const credential = create();
    await credential.getToken(resource);
    answer({ token: "second", expiresIn: 3_600_000 });
    vi.setSystemTime(NOW + 10);
    const all = ["a", "b", "c"].map((claims) => credential.getToken(resource, { claims }));
    expect((await Promise.all(all)).map(({ token }) => token)).toEqual(["second", "second", "second"]);
    expect(searches.map(({ options }) => options)).toEqual([
      { enableCae: true },
      { enableCae: true, claims: "a" },
      { enableCae: true, claims: "b" },
    ]);
    vi.setSystemTime(NOW + 20);
    await credential.getToken(resource, { claims: "d" });
    expect(searches.at(-1)?.options).toEqual({ enableCae: true, claims: "d" });
    vi.setSystemTime(NOW + 3_600_020);
    await credential.getToken(resource);
    expect(searches.at(-1)?.options).toEqual({ enableCae: true });
  });
});

test("the duration of a search is reported in seconds", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  vi.advanceTimersByTime(1_000);
  chain.search = async () => {
    vi.advanceTimersByTime(250);
    return { token: "t", expiresOnTimestamp: 0 };
  };
  const observe = vi.fn();
  await create({ observe }).getToken(resource);
  expect(observe.mock.calls).toEqual([["ok", 0.25]]);
});

describe("the chain of credentials", () => {
  test.each([
    ["https://login.microsoftonline.com", false],
    ["https://login.microsoftonline.com/", false],
    ["https://login.microsoftonline.us", false],
    ["https://login.chinacloudapi.cn", false],
    ["https://login.local", true],
    ["https://login.microsoftonline.com.evil.example", true],
    ["http://https://login.microsoftonline.com", true],
    ["https://login.microsoftonline.de", true],
  ])("with the authority %s is created with disableInstanceDiscovery: %s", async (authorityHost, disabled) => {
    await create({ authorityHost }).getToken(resource);
    expect(chain.options).toEqual([
      {
        authorityHost,
        disableInstanceDiscovery: disabled,
        retryOptions: { maxRetries: 0 },
        processTimeoutInMs: 10_000,
        httpClient: expect.any(Object),
      },
    ]);
  });

  test("has the client id of a user-assigned identity", async () => {
    await create({ clientId: "the-id" }).getToken(resource);
    expect(chain.options[0]).toMatchObject({ managedIdentityClientId: "the-id", workloadIdentityClientId: "the-id" });
  });

  test("reports each origin that did not respond in a search, and no longer in the next search", async () => {
    const fail = (error: Error) => {
      chain.send = async () => {
        throw error;
      };
    };
    chain.search = async () => {
      await chain.options[0]?.httpClient.sendRequest({ url: "https://login.local/token", timeout: 700 });
      throw new Error("no token");
    };
    const credential = create();
    fail(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }));
    const failed = async () => credential.getToken(resource).catch((error) => error.details);
    expect(await failed()).toBe("- refused\n- https://login.local did not respond: ECONNREFUSED");
    fail(Object.assign(new Error("aborted"), { name: "AbortError" }));
    vi.setSystemTime(NOW + 2_000);
    expect(await failed()).toBe("- aborted\n- https://login.local did not respond: timeout after 700 ms");
    chain.search = async () => {
      throw new Error("nothing was asked");
    };
    vi.setSystemTime(NOW + 4_000);
    expect(await failed()).toBe("- nothing was asked");
  });
});

describe("the explanation of a failed search", () => {
  const all = (...messages: string[]) =>
    Object.assign(new Error("all failed"), { errors: messages.map((message) => new Error(message)) });
  const stopped = (message: string) => Object.assign(new Error(message), { name: "AuthenticationError" });
  const timeout: [string, string] = ["https://login.local", "timeout after 700 ms"];
  const refused = { kind: "credential-refused", message: "Entra ID rejected the credential" };
  const none = {
    kind: "no-credential",
    message: "No Azure credential returned a token",
    advice:
      "On your own machine: az login. In Azure: assign a managed identity to the app, and set AZURE_CLIENT_ID if it " +
      "is a user-assigned one. In Kubernetes: use a service account with workload identity. The log has what was tried.",
  };

  test.each([
    ["all credentials failed", all("no az", "no IMDS"), [], { ...none, details: "- no az\n- no IMDS" }],
    [
      "all credentials failed, and an origin did not respond",
      all("no az", "no IMDS", "no az"),
      [timeout],
      { ...none, details: "- no az\n- no IMDS\n- https://login.local did not respond: timeout after 700 ms" },
    ],
    ["something that is no Error was thrown", "a text", [], { ...none, details: "- a text" }],
    [
      "all credentials failed, and Entra ID rejected some",
      all("AADSTS700016: app", "no IMDS", "AADSTS700016: app", "AADSTS50: user"),
      [timeout],
      {
        ...refused,
        advice:
          "Fix this credential (AADSTS700016, AADSTS50), because no other one returned a token. The log has Entra " +
          "ID's message.",
        details: "- AADSTS700016: app\n- AADSTS50: user",
      },
    ],
    [
      "the variables of the environment have a credential that Entra ID rejected",
      stopped("AADSTS7000215: secret"),
      [timeout],
      {
        ...refused,
        advice:
          "Fix this credential (AADSTS7000215), or unset its variables to try others. The log has Entra ID's message.",
        details: "- AADSTS7000215: secret",
      },
    ],
    [
      "the credential of the environment's variables was rejected without a code",
      stopped("no such file"),
      [],
      {
        ...refused,
        advice: "Fix this credential, or unset its variables to try others. The log has Entra ID's message.",
        details: "- no such file",
      },
    ],
    [
      "Entra ID did not respond to the credential of the environment's variables",
      stopped("no token"),
      [timeout],
      {
        kind: "azure-unreachable",
        message: "Entra ID is unreachable",
        advice:
          "Check the network and AZURE_AUTHORITY_HOST. For a private CA, set NODE_EXTRA_CA_CERTS to its certificate " +
          "file. The log has the reason.",
        details: "- no token\n- https://login.local did not respond: timeout after 700 ms",
      },
    ],
  ] as const)("says what to do when %s", (_what, error, unreachable, expected) => {
    const { kind, message, advice, details, cause } = explainCredentialError(error, new Map(unreachable));
    expect({ kind, message, advice, details }).toEqual(expected);
    expect(cause).toBe(error);
  });

  test.each([
    ["\n  two\t lines\n", "two lines"],
    [
      "invalid_client: Error(s): 7000215 - Timestamp: 2026-01-01 00:00:00Z - Description: AADSTS7000215: Wrong secret. " +
        "Trace ID: 1 Correlation ID: 2",
      "AADSTS7000215: Wrong secret.",
    ],
    ["az failed. To troubleshoot, visit https://aka.ms/x/y. Status 1", "az failed. Status 1"],
    ["az failed. To mitigate this issue, see https://aka.ms/x, then retry", "az failed. then retry"],
    ["az failed. Please visit https://aka.ms/x", "az failed."],
    ["az failed. See the troubleshooting guide", "az failed."],
    ["az failed. See https://aka.ms/x", "az failed."],
    ["az failed. See the log", "az failed. See the log"],
    ["az failed. Headers: {a: 1}", "az failed."],
    [`${"x".repeat(299)}yz`, `${"x".repeat(299)}y`],
  ])("shortens the SDK's message %j", (message, shown) => {
    expect(explainCredentialError(new Error(message), new Map()).details).toBe(`- ${shown}`);
  });
});
