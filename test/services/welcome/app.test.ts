import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MAX_RESPONSE_BYTES } from "../../../services/dapr/client.ts";
import { BodyMemory } from "../../../services/runtime/body-memory.ts";
import { readConfig } from "../../../services/runtime/config.ts";
import { variables as stateApiVariables } from "../../../services/state-api/config.ts";
import { createApp } from "../../../services/welcome/app.ts";
import { variables } from "../../../services/welcome/config.ts";
import { openapi } from "../../../services/welcome/openapi.ts";
import { createSidecar } from "../../../services/welcome/sidecar.ts";
import { createSignIn } from "../../../services/welcome/sign-in.ts";
import { inProcess } from "../../support/in-process.ts";
import { freePorts } from "../../support/processes.ts";

type Handler = (req: IncomingMessage, res: ServerResponse, body: string) => void;

/** Replaces the sidecar. A test sets `respond` to choose its responses. */
const sidecar = createServer(async (req, res) => {
  let body = "";
  for await (const chunk of req) body += chunk;
  received.push({ method: req.method, url: req.url, headers: req.headers, body });
  respond(req, res, body);
});
let respond: Handler;
let received: { method: string | undefined; url: string | undefined; headers: object; body: string }[];
let logged: string;
let opened: ReturnType<typeof createSidecar>[] = [];

function serve(env: Record<string, string> = {}, ready = async () => {}) {
  const { port } = sidecar.address() as AddressInfo;
  const config = readConfig(variables, { DAPR_HTTP_PORT: `${port}`, ...env });
  const log = pino({ level: "debug" }, { write: (line: string) => (logged += line) });
  const client = createSidecar({
    origin: `http://127.0.0.1:${config.DAPR_HTTP_PORT}`,
    timeoutMs: config.INVOKE_TIMEOUT_MS,
    apiToken: config.DAPR_API_TOKEN,
  });
  opened.push(client);
  return request(
    createApp({ sidecar: client, signIn: createSignIn(config, log), config, log, register: new Registry(), ready }),
  );
}

let api: ReturnType<typeof serve>;
beforeEach(async () => {
  received = [];
  logged = "";
  respond = (_req, res) => res.writeHead(204).end();
  await once(sidecar.listen(0, "127.0.0.1"), "listening");
  api = serve();
});
afterEach(async () => {
  sidecar.closeAllConnections(); // first: a client waits for its requests before it closes
  await Promise.all(opened.map((client) => client.close()));
  opened = [];
  await new Promise((resolve) => sidecar.close(resolve));
});

const reply =
  (status: number, type: string, body: string, headers: Record<string, string> = {}): Handler =>
  (_req, res) => {
    res.writeHead(status, { "Content-Type": type, ...headers }).end(body);
  };
const daprError = (status: number, message: string) =>
  reply(status, "application/json", JSON.stringify({ errorCode: "ERR_DIRECT_INVOKE", message }));

const calls = [
  () => api.get("/api/state/k"),
  () => api.put("/api/state/k").send({ a: 1 }),
  () => api.get("/api/groups"),
];

const problem = (status: number, code: string, title: RegExp) => (got: request.Response) => {
  expect(got.type).toBe("application/problem+json");
  expect(got.body).toMatchObject({
    status,
    type: `urn:problem:${code}`,
    title: expect.stringMatching(title),
    detail: expect.stringMatching(/.+/),
  });
  expect(got.status).toBe(status);
};

describe("errors of the sidecars", () => {
  const down = 'rpc error: code = Internal desc = error invoking app channel: Get "http://127.0.0.1:8080/": refused';
  const cases: [string, Handler, number, string, RegExp][] = [
    [
      "an app id that the name resolution does not find",
      daprError(500, "failed to invoke, id: x, err: no host found with the given ID"),
      503,
      "sidecar-unreachable",
      /^The sidecar of .+ is unreachable$/,
    ],
    [
      "an app id that mDNS does not find",
      daprError(500, "failed to invoke, id: x, err: couldn't find service: x"),
      503,
      "sidecar-unreachable",
      /is unreachable$/,
    ],
    [
      "an app id that mDNS did not find shortly before",
      daprError(500, "failed to invoke, id: x, err: timeout waiting for address for app id x"),
      503,
      "sidecar-unreachable",
      /is unreachable$/,
    ],
    [
      "a peer sidecar that stopped",
      daprError(500, "failed to invoke target x after 3 retries. Error: rpc error: code = Unavailable"),
      503,
      "sidecar-unreachable",
      /is unreachable$/,
    ],
    [
      "a service that stopped",
      daprError(500, `failed to invoke, id: x, err: ${down}`),
      503,
      "service-down",
      /does not respond to its sidecar$/,
    ],
    [
      "a sidecar that has no service yet",
      daprError(500, "failed to invoke, id: x, err: rpc error: code = Internal desc = app channel is not initialized"),
      503,
      "service-down",
      /does not respond to its sidecar$/,
    ],
    [
      "an access control list that denies the call",
      daprError(403, "failed to invoke, id: x, err: rpc error: code = PermissionDenied"),
      502,
      "invocation-denied",
      /denies calls from welcome$/,
    ],
    [
      "a Configuration that does not allow invoke",
      reply(404, "text/plain; charset=utf-8", "404 page not found\n"),
      502,
      "invocation-denied",
      /does not allow service invocation$/,
    ],
    [
      "a wrong API token",
      reply(401, "text/plain", "invalid api token\n"),
      502,
      "invocation-denied",
      /rejects the API token of welcome$/,
    ],
    [
      "a service that gets a wrong token from its sidecar",
      reply(401, "application/problem+json; charset=utf-8", '{"type":"urn:problem:wrong-token","status":401}'),
      502,
      "invocation-denied",
      /refuses calls from welcome$/,
    ],
    [
      "a service that does not allow the app id welcome",
      reply(403, "application/problem+json; charset=utf-8", '{"type":"urn:problem:caller-not-allowed","status":403}'),
      502,
      "invocation-denied",
      /refuses calls from welcome$/,
    ],
    [
      "a 404 of the sidecar that is an error of an invocation",
      daprError(404, "failed to invoke"),
      502,
      "invocation-failed",
      /^The sidecars could not deliver the call to .+$/,
    ],
    [
      "any other error of the sidecar",
      daprError(500, "the internals of daprd"),
      502,
      "invocation-failed",
      /^The sidecars could not deliver the call to .+$/,
    ],
  ];
  test.each(cases)("turns %s into problem details and logs it", async (_name, handler, status, code, title) => {
    respond = handler;
    for (const call of calls) {
      const got = await call();
      problem(status, code, title)(got);
      expect(got.headers["retry-after"]).toBe(status === 503 ? "1" : undefined);
    }
    expect(logged).toContain('"level":50');
  });

  test("logs the text of a sidecar's error and hides it from the caller", async () => {
    respond = daprError(500, "the internals of daprd");
    expect((await api.get("/api/groups")).text).not.toContain("internals");
    expect(logged).toContain("the internals of daprd");
  });

  test.each([
    [401, "text/plain", "invalid api token", "Set DAPR_API_TOKEN to the token that the sidecar was started with."],
    [403, "text/plain", "denied", "Allow the app id welcome in accessControl of group-lister's Dapr Configuration."],
    [404, "text/plain", "none", "Add the API invoke to spec.api.allowed of its Dapr Configuration."],
    [
      401,
      "application/problem+json",
      "{}",
      "Give group-lister and its sidecar the same APP_API_TOKEN, and name welcome in its ALLOWED_CALLERS.",
    ],
  ])("says what to do about a response %i of type %s with the text %s", async (status, type, text, detail) => {
    respond = reply(status, type, text);
    const got = await api.get("/api/groups");
    expect(got.body.detail).toBe(detail);
    expect(logged).toContain(`${status} ${text}`);
  });

  const unreachable =
    "Check that state-api runs with Dapr enabled, under this app id, in the same environment or namespace.";
  const serviceDown = "The sidecar of state-api is running. The service is not, or is still starting: check its log.";
  const unknown = "The log of welcome has the sidecar's error; search it for this traceId.";
  test.each([
    ["no host found", unreachable, false],
    ["couldn't find service", unreachable, false],
    ["timeout waiting for address", unreachable, false],
    ["code = Unavailable: Error while dialing", unreachable, false],
    ["code = Unavailable: dial tcp", unreachable, false],
    ["app channel is not initialized", serviceDown, false],
    ["code = Unavailable", unreachable, true],
    ["error invoking app channel", serviceDown, true],
    ["anything else", unknown, true],
  ])(
    "says after the error %s what to do: %s, and whether a write may have succeeded: %s",
    async (text, advice, may) => {
      respond = reply(500, "text/plain", text);
      const { body } = await api.put("/api/state/k").send({ a: 1 });
      expect(body.detail).toBe(may ? `${advice} A write may still have succeeded.` : advice);
      expect(logged).toContain(`500 ${text}`);
    },
  );

  test.each([
    ["of status 400 that is no problem", reply(400, "text/plain", "anything else")],
    ["without a type", (_req, res) => void res.writeHead(500).end("anything else")],
  ] as [string, Handler][])("takes an error %s for one of the sidecar", async (_name, handler) => {
    respond = handler;
    problem(
      502,
      "invocation-failed",
      /^The sidecars could not deliver the call to group-lister$/,
    )(await api.get("/api/groups"));
  });

  test("returns 503 while large bodies fill the memory, and 502 for a response that is too large", async () => {
    respond = reply(200, "application/json", `"${"x".repeat(MAX_RESPONSE_BYTES)}"`);
    const got = await api.get("/api/groups");
    problem(502, "bad-response", /^The response of group-lister is too large$/)(got);
    expect(got.body.detail).toBe(`The maximum is ${MAX_RESPONSE_BYTES} bytes.`);
    expect(got.headers).not.toHaveProperty("retry-after");
    respond = reply(200, "application/json", `"${"x".repeat(1_000_000)}"`);
    const others = new BodyMemory();
    others.resize(20 * 1_048_576);
    try {
      const refused = await api.get("/api/groups");
      problem(503, "overloaded", /^The service holds too many large bodies$/)(refused);
      expect(refused.body.detail).toBe("Retry. A write may still have succeeded.");
      expect(refused.headers["retry-after"]).toBe("1");
    } finally {
      others.release();
    }
  });

  test("returns 503 with a remedy and Retry-After when no sidecar listens", async () => {
    const [unusedPort] = await freePorts(1);
    api = serve({ DAPR_HTTP_PORT: `${unusedPort}` });
    for (const call of calls) {
      const got = await call();
      problem(503, "no-sidecar", /^The Dapr sidecar at http:\/\/127\.0\.0\.1:\d+ is unreachable$/)(got);
      expect(got.body.detail).toBe(
        'welcome calls the other services through its sidecar. "npm start" starts one; on Kubernetes, set the ' +
          "annotation dapr.io/enabled; on Container Apps, enable Dapr for the app.",
      );
      expect(got.headers["retry-after"]).toBe("1");
    }
  });

  test("returns 504 when the response exceeds INVOKE_TIMEOUT_MS", async () => {
    api = serve({ INVOKE_TIMEOUT_MS: "50" });
    respond = () => {};
    for (const call of calls) problem(504, "service-timeout", /did not respond within 50 ms$/)(await call());
  });

  test("returns 504 and says that a write may have succeeded when there is no response to it within 950 ms", async () => {
    api = serve({ INVOKE_TIMEOUT_MS: "20000" });
    respond = () => {};
    const got = await api.put("/api/state/k").send({ a: 1 });
    problem(504, "service-timeout", /^state-api did not respond within 950 ms$/)(got);
    expect(got.body.detail).toContain("A write may still have succeeded.");
  });

  test("returns 503 and says that a write may have succeeded when the sidecar closes the connection", async () => {
    respond = (_req, res) => {
      res.writeHead(200, { "Content-Length": "100", "Content-Type": "application/json" }).write("[1,");
      setTimeout(() => res.destroy(), 20);
    };
    const got = await api.put("/api/state/k").send({ a: 1 });
    problem(503, "connection-lost", /^The Dapr sidecar at .+ closed the connection$/)(got);
    expect(got.body.detail).toBe("Retry. A write may still have succeeded.");
  });

  test("returns 502 instead of a response that is not JSON", async () => {
    for (const type of ["text/html", "text/html; as=application/json"]) {
      respond = reply(200, type, "<script>alert(1)</script>");
      const titles: string[] = [];
      for (const call of calls) {
        const got = await call();
        problem(502, "bad-response", /did not return JSON$/)(got);
        expect(got.text).not.toContain("script");
        titles.push(got.body.title);
      }
      expect(titles.map((title) => title.split(" ")[0])).toEqual(["state-api", "state-api", "group-lister"]);
    }
  });
});

describe("responses of other services", () => {
  test.each([
    ["store-unavailable", 503],
    ["forbidden", 403],
    ["caller-not-allowed", 409],
  ])("passes on the problem %s with its status %i and Retry-After", async (code, status) => {
    const details = { type: `urn:problem:${code}`, title: "Error", status, traceId: "0af7" };
    respond = reply(status, "application/problem+json; charset=utf-8", JSON.stringify(details), { "Retry-After": "7" });
    for (const call of calls) {
      const got = await call();
      expect(got.status).toBe(status);
      expect(got.type).toBe("application/problem+json");
      expect(got.headers["retry-after"]).toBe("7");
      expect(JSON.parse(got.text)).toEqual(details);
    }
  });

  test("passes on a value with its ETag", async () => {
    respond = reply(200, "application/json; charset=utf-8", '{"a":[1,null]}', { ETag: '"v1"' });
    const got = await api.get("/api/state/alice~cart").expect(200, { a: [1, null] });
    expect(got.headers.etag).toBe('"v1"');
    expect(received).toMatchObject([
      { method: "GET", url: "/v1.0/invoke/state-api/method/state/alice~cart", body: "" },
    ]);
  });

  test("passes on groups with Sample-Data and Age, but not the headers Server and Set-Cookie", async () => {
    respond = reply(200, "application/json", '[{"name":"rg"}]', {
      "Sample-Data": "azure-stand-in",
      Age: "12",
      Server: "x",
      "Set-Cookie": "a=b",
    });
    const { headers } = await api
      .get("/api/groups")
      .set("Cache-Control", "no-cache,\tmax-age=0")
      .expect(200, [{ name: "rg" }]);
    expect(headers).toMatchObject({ "sample-data": "azure-stand-in", age: "12", "cache-control": "no-store" });
    expect(headers).not.toHaveProperty("set-cookie");
    expect(headers).not.toHaveProperty("server");
    expect(received).toMatchObject([
      {
        url: "/v1.0/invoke/group-lister/method/groupz?details=true",
        headers: { "cache-control": "no-cache, max-age=0" },
      },
    ]);
  });

  test("sends the condition and the value of a write and passes on 201 and 204", async () => {
    respond = (_req, res) => res.writeHead(201).end();
    const created = await api.put("/api/state/k").set("If-None-Match", "*").send({ a: 1 }).expect(201, {});
    expect(created.headers).not.toHaveProperty("content-type");
    respond = (_req, res) => res.writeHead(204).end();
    for (const falsy of ["null", "false", "0", '""']) {
      const json = api.put("/api/state/k").set("If-Match", '"v1"').set("Content-Type", "application/json");
      await json.send(falsy).expect(204);
      expect(received.at(-1)).toMatchObject({ method: "PUT", headers: { "if-match": '"v1"' }, body: falsy });
    }
    expect(received[0]).toMatchObject({
      url: "/v1.0/invoke/state-api/method/state/k",
      headers: { "if-none-match": "*", "content-type": "application/json; charset=utf-8" },
      body: '{"a":1}',
    });
    expect(received[0]?.headers).not.toHaveProperty("if-match");
  });

  test.each([
    ["If-Match", "with an accent", '"\u00e9"'],
    ["If-Match", "of 1,025 characters", `"${"x".repeat(1_023)}"`],
    ["If-None-Match", "with an accent", '"\u00e9"'],
    ["Cache-Control", "with an accent", "no-cache\u00e9"],
    ["Cache-Control", "of 1,025 characters", `no-cache, ${"x".repeat(1_015)}`],
  ])("returns 400 for a header %s %s, calls nobody and logs no error", async (name, _which, value) => {
    const sent = name === "Cache-Control" ? api.get("/api/groups") : api.put("/api/state/k").send({ a: 1 });
    const { body } = await sent.set(name, value).expect(400);
    expect(body).toMatchObject({
      type: "urn:problem:bad-request",
      title: `${name} is malformed`,
      detail: "Send at most 1024 characters, all of them printable ASCII.",
    });
    expect(received).toEqual([]);
    expect(logged).not.toMatch(/"level":[56]0|"err":/);
  });

  test("sends the value of a write in chunks, which the sidecar cannot repeat", async () => {
    await api.put("/api/state/k").send({ a: 1 });
    expect(received[0]?.headers).toMatchObject({ "transfer-encoding": "chunked" });
  });

  test("sends the value of a write exactly as the caller wrote it", async () => {
    const value = '{ "large": 1e20, "exact": 1.50, "text": "\\u00e9" }';
    await api.put("/api/state/k").set("Content-Type", "application/json").send(value).expect(204);
    expect(received[0]?.body).toBe(value);
  });

  test("continues the caller's trace and sends the API token to the sidecar", async () => {
    api = serve({ DAPR_API_TOKEN: "t0ken" });
    const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (const call of calls) await call().set("traceparent", caller);
    for (const { headers } of received) {
      expect(headers).toMatchObject({ traceparent: caller, "dapr-api-token": "t0ken" });
    }
    expect(received).toHaveLength(calls.length);
    expect(logged).not.toContain("t0ken");
  });
});

describe("input that welcome rejects without calling another service", () => {
  test.each(["..%2Fhealthz", "%2e%2e", "a%2Fb", "a%3Fb", "a%23b", "a%20b", "a%25b", "x".repeat(959)])(
    "rejects the key %s with 400 or 404",
    async (key) => {
      for (const got of [await api.get(`/api/state/${key}`), await api.put(`/api/state/${key}`).send({})]) {
        expect([400, 404]).toContain(got.status);
        expect(got.type).toBe("application/problem+json");
      }
      expect(received).toEqual([]);
    },
  );

  test("returns 400 for invalid JSON, 415 for another Content-Type, and 413 for a body over MAX_BODY_BYTES", async () => {
    const put = (type: string, body: string) => api.put("/api/state/k").set("Content-Type", type).send(body);
    expect((await put("application/json", "{a: 1}")).body).toMatchObject({
      status: 400,
      title: "The body is not valid JSON",
    });
    expect((await put("text/plain", "{}")).status).toBe(415);
    expect((await put("application/json", `"${"x".repeat(1_048_576)}"`)).status).toBe(413);
    expect(received).toEqual([]);
  });
});

describe("MAX_BODY_BYTES", () => {
  test("has the same limits and default as in state-api", () => {
    expect(variables.MAX_BODY_BYTES).toBe(stateApiVariables.MAX_BODY_BYTES);
  });

  test("lets a value of exactly that size through to state-api and returns 413 for a larger one", async () => {
    const MAX_BODY_BYTES = 4_194_304;
    api = serve({ MAX_BODY_BYTES: `${MAX_BODY_BYTES}` });
    const put = (body: string) => api.put("/api/state/k").set("Content-Type", "application/json").send(body);
    const largest = `"${"x".repeat(MAX_BODY_BYTES - 2)}"`;
    await put(largest).expect(204);
    await put(`${largest} `).expect(413);
    expect(received).toHaveLength(1);
    expect(received[0]?.body === largest).toBe(true);
  });
});

describe("GET /", () => {
  test("returns the WELCOME text to curl", async () => {
    for (const accept of ["*/*", "", "text/plain", "text/*", "application/json"]) {
      const { text, headers } = await api.get("/").set("Accept", accept).expect(200);
      expect(text, accept).toBe("Hello from Super API on Container Apps");
      expect(headers).toMatchObject({
        "content-type": "text/plain; charset=utf-8",
        vary: "Accept",
        "cache-control": "no-cache",
      });
    }
    await serve({ WELCOME: "Hello from v2!" }).get("/").expect(200, "Hello from v2!");
  });

  test("returns the page to a browser, with a content security policy", async () => {
    const chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
    const { text, headers } = await api.get("/").set("Accept", chromium).expect(200);
    expect(text).toMatch(/^<!doctype html>/);
    expect(headers).toMatchObject({ "content-type": "text/html; charset=utf-8", vary: "Accept" });
    expect(headers["content-security-policy"]).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    expect(headers).toMatchObject({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" });
  });

  test("serves every file that the page loads, and the page contains no inline script or style", async () => {
    const { text } = await api.get("/").set("Accept", "text/html");
    const assets = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path);
    expect(assets).toEqual(["icon.svg", "style.css", "page.js"]);
    const got = await Promise.all(assets.map((path) => api.get(`/${path}`).expect(200)));
    expect(got.map(({ type }) => type)).toEqual(["image/svg+xml", "text/css", "text/javascript"]);
    for (const { headers } of got) expect(headers).toMatchObject({ "cache-control": "no-cache" });
    expect(text).not.toMatch(/ style="| on\w+="|<style|<script(?! type="module" src)/);
  });

  test("serves a script that parses as JavaScript, without a warning from Node", async () => {
    const warned = vi.spyOn(process, "emitWarning");
    const { text } = await serve().get("/page.js");
    const { text: imported } = await serve().get("/sign-in.js");
    expect(text).toContain('from "./sign-in.js"');
    for (const module of [text, imported]) {
      const body = module.replaceAll(/^(import .*|export )/gm, ""); // not allowed inside of a function
      await import(`data:text/javascript,${encodeURIComponent(`async () => { ${body} }`)}`);
    }
    expect(warned).not.toHaveBeenCalled();
  });
});

test("GET /api/sign-in says that nobody has to sign in", async () => {
  await api.get("/api/sign-in").expect(200, { required: false });
  await api.get("/msal-browser.js").expect(404);
});

describe("GET /api/version", () => {
  const cases: [string, Record<string, string>, object][] = [
    [
      "Container Apps",
      { CONTAINER_APP_REVISION: "welcome--v2", CONTAINER_APP_REPLICA_NAME: "welcome--v2-1", HOSTNAME: "h" },
      { version: "welcome--v2", replica: "welcome--v2-1" },
    ],
    [
      "Kubernetes",
      { POD_TEMPLATE_HASH: "7d9f5c6b", HOSTNAME: "superapi-7d9f5c6b-x2x" },
      { version: "7d9f5c6b", replica: "superapi-7d9f5c6b-x2x" },
    ],
    ["any other platform", {}, { version: "local", replica: "local" }],
  ];
  test.each(cases)("returns the version and replica on %s", async (_name, env, version) => {
    const { body, headers } = await serve({ WELCOME: "Hi", ...env })
      .get("/api/version")
      .expect(200);
    expect(body).toEqual({ message: "Hi", ...version });
    // Without it, a browser that polls would stay connected to the old pod after a switch.
    expect(headers).toMatchObject({ connection: "close", "cache-control": "no-store" });
  });
});

describe("GET /api/health", () => {
  const byPath =
    (handlers: Record<string, Handler>): Handler =>
    (req, res, body) =>
      (handlers[req.url ?? ""] ?? reply(404, "text/plain", "404 page not found\n"))(req, res, body);
  const own: Handler = (_req, res) => res.writeHead(204).end();
  const ok = reply(200, "text/plain; charset=utf-8", "ok");
  const paths = (stateApi: Handler, groupLister: Handler, self: Handler = own) =>
    byPath({
      "/v1.0/healthz": self,
      "/v1.0/invoke/state-api/method/readyz": stateApi,
      "/v1.0/invoke/group-lister/method/readyz": groupLister,
    });
  const health = async () => (await api.get("/api/health").expect(200)).body;
  const welcome = { appId: "welcome", service: "up", sidecar: "up" };

  test("reports a service and its sidecar as up when the service responds", async () => {
    respond = paths(ok, ok);
    expect(await health()).toEqual([
      welcome,
      { appId: "state-api", service: "up", sidecar: "up" },
      { appId: "group-lister", service: "up", sidecar: "up" },
    ]);
  });

  test("reports the reason of a service that is not ready, and a sidecar that is up without its service", async () => {
    const notReady = reply(503, "application/problem+json", '{"title":"No credential returned a token","status":503}');
    respond = paths(daprError(500, "rpc error: code = Internal desc = error invoking app channel: refused"), notReady);
    expect(await health()).toEqual([
      welcome,
      {
        appId: "state-api",
        service: "no response",
        sidecar: "up",
        reason: "state-api does not respond to its sidecar",
      },
      { appId: "group-lister", service: "not ready", sidecar: "up", reason: "No credential returned a token" },
    ]);
  });

  test("reports unknown for a service behind an unreachable sidecar and for both after a timeout", async () => {
    api = serve({ INVOKE_TIMEOUT_MS: "1000" });
    respond = paths(
      daprError(500, "err: no host found with the given ID"),
      () => {},
      reply(500, "application/json", "{}"),
    );
    expect(await health()).toEqual([
      { ...welcome, sidecar: "not ready", reason: "The Dapr sidecar is not ready yet" },
      {
        appId: "state-api",
        service: "unknown",
        sidecar: "no response",
        reason: "The sidecar of state-api is unreachable",
      },
      {
        appId: "group-lister",
        service: "unknown",
        sidecar: "unknown",
        reason: "group-lister did not respond within 1000 ms",
      },
    ]);
  });

  test("reports that welcome's own sidecar does not respond in time", async () => {
    api = serve({ INVOKE_TIMEOUT_MS: "50" });
    respond = paths(ok, ok, () => {});
    expect((await health())[0]).toEqual({
      ...welcome,
      sidecar: "no response",
      reason: "The Dapr sidecar did not respond within 50 ms",
    });
  });

  test("reports a missing sidecar while /readyz returns 200, as in a rollout without Dapr", async () => {
    const [unusedPort] = await freePorts(1);
    api = serve({ DAPR_HTTP_PORT: `${unusedPort}` });
    const reason = `The Dapr sidecar at http://127.0.0.1:${unusedPort} is unreachable`;
    expect(await health()).toEqual([
      { ...welcome, sidecar: "no response", reason },
      { appId: "state-api", service: "unknown", sidecar: "unknown", reason },
      { appId: "group-lister", service: "unknown", sidecar: "unknown", reason },
    ]);
    await api.get("/readyz").expect(200, "ok");
    expect(logged).not.toContain('"level":50');
  });
});

describe("GET /api/secret", () => {
  const folder = mkdtempSync(join(tmpdir(), "welcome-secret-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const SECRET_FILE = join(folder, "demosecret");
  /** Mounts a file as the driver does: a link into a folder, which the driver replaces as a whole. */
  const mount = (value: string, ageSeconds: number) => {
    const version = mkdtempSync(join(folder, "version-"));
    const changed = Date.now() / 1000 - ageSeconds;
    writeFileSync(join(version, "demosecret"), value);
    utimesSync(join(version, "demosecret"), changed, changed);
    rmSync(SECRET_FILE, { force: true });
    symlinkSync(join(version, "demosecret"), SECRET_FILE);
  };
  const ask = async (variable?: string) => {
    const { body, text } = await serve({ SECRET_FILE, ...(variable !== undefined && { demosecret: variable }) })
      .get("/api/secret")
      .expect(200)
      .expect("Cache-Control", "no-store");
    expect(`${text}${logged}`).not.toMatch(/demov/);
    return body;
  };

  test("reports a secret that is neither mounted nor synced", async () => {
    expect(await ask()).toEqual({ name: "demosecret", notMounted: "ENOENT", restartNeeded: false });
  });

  test("reports the sizes in bytes and the age of the file when the secret is mounted and synced", async () => {
    mount("demovälue", 90);
    const { mounted, ...rest } = await ask("demovälue");
    expect(mounted).toEqual({ bytes: 10, ageSeconds: expect.closeTo(90, -1) });
    expect(rest).toEqual({ name: "demosecret", synced: { bytes: 10 }, restartNeeded: false });
  });

  test("reports a secret that is mounted only", async () => {
    mount("demovalue", 0);
    expect(await ask()).toMatchObject({ mounted: { bytes: 9 }, restartNeeded: false });
  });

  test("reports that a restart is needed after a rotation to a value of the same size", async () => {
    mount("demovolue", 1);
    expect(await ask("demovalue")).toMatchObject({ mounted: { bytes: 9 }, synced: { bytes: 9 }, restartNeeded: true });
  });

  test("reports the error code of a file that cannot be read", async () => {
    rmSync(SECRET_FILE, { force: true });
    mkdirSync(SECRET_FILE);
    expect(await ask("demovalue")).toEqual({
      name: "demosecret",
      notMounted: "EISDIR",
      synced: { bytes: 9 },
      restartNeeded: false,
    });
  });
});

test("GET /openapi.json returns the document, and every route in it exists", async () => {
  const { body } = await api.get("/openapi.json").expect(200);
  expect(body).toEqual(JSON.parse(JSON.stringify(openapi)));
  for (const [path, methods] of Object.entries(openapi.paths)) {
    for (const method of Object.keys(methods).filter((name) => name !== "parameters")) {
      const got = await api[method as "get" | "put"](path.replace("{key}", "k"));
      expect([404, 405], `${method} ${path}`).not.toContain(got.status);
    }
  }
  expect((await api.delete("/api/state/k")).headers.allow).toBe("GET, HEAD, PUT");
});

test("never logs a value, even at debug", async () => {
  await api.put("/api/state/k").send({ a: "top-secret-value" });
  await api.put("/api/state/k").set("Content-Type", "application/json").send('{"top-secret-value');
  respond = daprError(500, "no host found with the given ID");
  await api.put("/api/state/k").send({ a: "top-secret-value" });
  expect(logged).not.toContain("top-secret-value");
});

test("the welcome process is ready without a sidecar and exits with 0 on SIGTERM", async () => {
  const [unusedPort] = await freePorts(1);
  await inProcess("welcome", { DAPR_HTTP_PORT: `${unusedPort}` }, async (get) => {
    expect(await (await get("/readyz")).text()).toBe("ok");
    expect(await (await get("/api/groups")).text()).toContain(
      `The Dapr sidecar at http://127.0.0.1:${unusedPort} is unreachable`,
    );
  });
});
