// Tests the explanation of each failure of Azure Resource Manager. app.test.ts tests the responses of the service.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { AzureError } from "../../../services/group-lister/azure/error.ts";
import {
  explainResponse,
  explainSdkError,
  explainUnreachable,
} from "../../../services/group-lister/azure/resource-manager-error.ts";

const NOW = Date.UTC(2026, 0, 1);
beforeEach(() => void vi.useFakeTimers({ now: NOW, toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

const subscription = "00000000-0000-0000-0000-000000000001";
const scope = `/subscriptions/${subscription}`;
const readerFor = (objectId: string) =>
  `az role assignment create --role Reader --scope ${scope} --assignee-object-id ${objectId}`;

const explain = (status: number, body: object | undefined, headers: Record<string, string | undefined> = {}) =>
  explainResponse(
    { status, bodyAsText: body ? JSON.stringify(body) : null, headers: { get: (name) => headers[name] } },
    subscription,
  );
const shown = ({ kind, message, advice, details, retryAt }: AzureError) => ({
  ...{ kind, message, advice },
  ...(details === undefined ? {} : { details }),
  ...(retryAt === undefined ? {} : { retryAt }),
});

describe("an error of Azure Resource Manager", () => {
  const forbidden = {
    kind: "forbidden",
    message: "The identity lacks the role Reader on the subscription",
    advice: "Assign it; it takes effect after a few minutes. The log has the command.",
  };
  const throttled = {
    kind: "throttled",
    message: "Azure Resource Manager is throttling requests",
    advice: "Retry when the time in Retry-After has passed.",
  };
  const failed = { kind: "azure-failed", advice: "Retry; https://azure.status.microsoft shows known outages." };

  test.each([
    [
      "403 with the identity",
      403,
      { error: { message: "The client 'x' with object id 'the-id' has no authorization over 'y'" } },
      {},
      { ...forbidden, details: readerFor("the-id") },
    ],
    ["403 without the identity", 403, undefined, {}, { ...forbidden, details: readerFor("OBJECT-ID") }],
    [
      "404",
      404,
      { error: { code: "SubscriptionNotFound" } },
      {},
      {
        kind: "no-such-subscription",
        message: "The identity's tenant has no such subscription",
        advice:
          "Check AZURE_SUBSCRIPTION_ID, which the log has. To see your subscriptions: az account list --output table",
        details: scope,
      },
    ],
    ["429 with seconds", 429, {}, { "Retry-After": "7" }, { ...throttled, retryAt: NOW + 7_000 }],
    ["429 without a time", 429, {}, {}, throttled],
    ["429 with a wrong time", 429, {}, { "Retry-After": "soon" }, throttled],
    [
      "503 with a code and a date",
      503,
      { error: { code: "Busy" } },
      { "Retry-After": "Thu, 01 Jan 2026 00:00:09 GMT" },
      { ...failed, message: "Azure Resource Manager returned 503 Busy", retryAt: NOW + 9_000 },
    ],
    ["500 without a code", 500, undefined, {}, { ...failed, message: "Azure Resource Manager returned 500" }],
    [
      "500 with a code that is no text",
      500,
      { error: { code: 7 } },
      {},
      { ...failed, message: "Azure Resource Manager returned 500" },
    ],
  ] as [string, number, object | undefined, Record<string, string>, object][])(
    "is explained: %s",
    (_what, status, body, headers, expected) => {
      expect(shown(explain(status, body, headers))).toEqual(expected);
    },
  );

  test.each([403, 404, 429, 500])("%i has Azure's own words as its cause", (status) => {
    const error = { code: "TheCode", message: "the message" };
    expect(explain(status, { error }, { "x-ms-request-id": "r1" }).cause).toEqual(
      new Error(`Azure Resource Manager returned ${status} TheCode: the message (request r1)`),
    );
    expect(explain(status, undefined).cause).toEqual(
      new Error(`Azure Resource Manager returned ${status} :  (request unknown)`),
    );
  });
});

test("an error of the SDK is a rejected token or an unexpected response", () => {
  const rejected = Object.assign(new Error("no"), { statusCode: 401, code: "InvalidAuthenticationToken" });
  const errors = [rejected, new SyntaxError("no JSON")];
  expect(errors.map(explainSdkError).map(shown)).toEqual([
    {
      kind: "token-refused",
      message: "Azure Resource Manager rejected the token (InvalidAuthenticationToken)",
      advice:
        "Check AZURE_AD_RESOURCE, AZURE_ENVIRONMENT and the subscription's tenant. If you have recreated the managed " +
        "identity, restart the service: it keeps a token until the token expires.",
    },
    {
      kind: "azure-failed",
      message: "Azure Resource Manager returned a response that is not a list",
      advice: "Check AZURE_RESOURCE_MANAGER_ENDPOINT.",
    },
  ]);
  expect(errors.map((error) => explainSdkError(error).cause)).toEqual(errors);
});

test("a request without a response has run into the timeout or has not reached Azure", () => {
  const unreachable = (reason: string) => ({
    kind: "azure-unreachable",
    message: `Azure Resource Manager is unreachable at https://arm.local (${reason})`,
    advice:
      "Check the network and AZURE_RESOURCE_MANAGER_ENDPOINT. For a private CA, set NODE_EXTRA_CA_CERTS to its " +
      "certificate file.",
  });
  const aborted = Object.assign(new Error("aborted"), { name: "AbortError", code: "ABORT_ERR" });
  const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" });
  const errors = [aborted, reset, new Error("unknown"), Object.assign(new Error("number"), { code: 7 })];
  const explained = errors.map((error) => explainUnreachable(error, "https://arm.local", 300));
  expect(explained.map(shown)).toEqual([
    { kind: "azure-timeout", message: "Azure Resource Manager did not respond within 300 ms", advice: "Retry." },
    unreachable("ECONNRESET"),
    unreachable("unknown"),
    unreachable("unknown"),
  ]);
  expect(explained.map(({ cause }) => cause)).toEqual(errors);
});
