// How welcome gets and keeps Entra ID's keys, and its settings for sign-in. sign-in-users.test.ts attacks the suite.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../services/welcome/app.ts";
import { readWelcomeConfig } from "../../../services/welcome/config.ts";
import { openapiWithSignIn } from "../../../services/welcome/openapi.ts";
import type { Sidecar } from "../../../services/welcome/sidecar.ts";
import { createSignIn } from "../../../services/welcome/sign-in.ts";
import { createTokens } from "../../../stand-ins/azure/tokens.ts";
import { freePorts } from "../../support/processes.ts";
import { measure } from "../../support/stopwatch.ts";

const clientId = "00000000-5a4d-4b1e-8000-0000000000e1";
const tenantId = "00000000-5a4d-4b1e-8000-00000000000a";
const ids = { SIGN_IN_CLIENT_ID: clientId, SIGN_IN_TENANT_ID: tenantId };
const oid = "00000000-5a4d-4b1e-8000-0000000000d1";

const newKey = () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const signer = (key: KeyObject) => createTokens(String(key.export({ type: "pkcs8", format: "pem" })), tenantId);
const current = signer(newKey());
const next = signer(newKey());
const unknown = signer(newKey());

/** Serves Entra ID's keys. A test sets `respond` to choose its responses. */
const entra = createServer((req, res) => {
  requests.push(req.url);
  respond(req, res);
});
let respond: RequestListener;
let requests: unknown[];
let authority: string;
let logged: string;

beforeEach(async () => {
  requests = [];
  logged = "";
  respond = (_req, res) => res.end(JSON.stringify(current.jwks));
  await once(entra.listen(0, "127.0.0.1"), "listening");
  authority = `http://127.0.0.1:${(entra.address() as AddressInfo).port}`;
});
afterEach(async () => {
  vi.useRealTimers();
  entra.closeAllConnections();
  await new Promise((resolve) => entra.close(resolve));
});

const sidecar: Sidecar = {
  invoke: async () => ({ statusCode: 200, headers: { "content-type": "application/json" }, text: "[]" }),
  checkHealth: async () => "up",
  close: async () => {},
};

function serve(origin = authority) {
  const config = { ...readWelcomeConfig(ids), SIGN_IN_AUTHORITY: origin }; // only https passes the check of the setting
  const log = pino({ level: "debug" }, { write: (line: string) => (logged += line) });
  const signIn = createSignIn(config, log);
  const app = request(createApp({ sidecar, signIn, config, log, register: new Registry(), ready: async () => {} }));
  return {
    app,
    warmUp: () => signIn?.warmUp(),
    groups: (token: string) => app.get("/api/groups").set("Authorization", `Bearer ${token}`),
  };
}

const sign = (tokens = current, claims = {}) =>
  tokens.sign({
    iss: `${authority}/${tenantId}/v2.0`,
    aud: clientId,
    tid: tenantId,
    oid,
    scp: "user_impersonation",
    ...claims,
  }).token;

describe("the app", () => {
  test("requires sign-in below /api, except for the version and the settings, which the page and the document name", async () => {
    const { app } = serve();
    await app.get("/api/groups").expect(401);
    await app.get("/api/version").expect(200);
    const { body: settings } = await app.get("/api/sign-in").expect(200);
    expect(settings).toEqual(
      createSignIn({ ...readWelcomeConfig(ids), SIGN_IN_AUTHORITY: authority }, console)?.settings,
    );
    expect((await app.get("/openapi.json").expect(200)).body).toEqual(
      JSON.parse(JSON.stringify(openapiWithSignIn(settings))),
    );
    const { headers, text } = await app.get("/msal-browser.js").expect(200);
    expect(text).toMatch(/^\/\*\nMIT License\n.+\*\/\n\/\*! @azure\/msal-browser v.+PublicClientApplication/s);
    expect(headers["content-security-policy"]).toContain(`connect-src 'self' ${authority}; base-uri 'none'`);
  });

  test("stores an entry under the caller's prefix, and shows no prefix in the problems of the other service", async () => {
    const prefix = `${tenantId}.${oid}~`;
    const invoke = vi.spyOn(sidecar, "invoke");
    onTestFinished(() => invoke.mockRestore());
    const { app } = serve();
    const key = `my-${prefix}key`;
    const answer = async (statusCode: number, text: string, method: "get" | "put" = "get") => {
      invoke.mockResolvedValue({ statusCode, headers: { "content-type": "application/json" }, text });
      const sent = app[method](`/api/state/${key}`).set("Authorization", `Bearer ${sign()}`);
      const got = await (method === "put" ? sent.send({ a: 1 }) : sent);
      expect(invoke.mock.lastCall).toMatchObject(["state-api", `/state/${prefix}${key}`, {}]);
      return { status: got.status, text: got.text };
    };
    const stored = JSON.stringify(`${prefix}${key} and ${prefix}other`);
    const shown = JSON.stringify(`${key} and other`);
    for (const method of ["get", "put"] as const) {
      for (const status of [400, 503]) expect(await answer(status, stored, method)).toEqual({ status, text: shown });
    }
    expect(await answer(200, stored), "a value").toEqual({ status: 200, text: stored });
  });
});

describe("Entra ID's keys", () => {
  test("are fetched once for many callers, from the tenant's address", async () => {
    const { groups } = serve();
    const responses = await Promise.all(Array.from({ length: 20 }, () => groups(sign())));
    for (const { status } of responses) expect(status).toBe(200);
    await groups(sign()).expect(200);
    expect(requests).toEqual([`/${tenantId}/discovery/v2.0/keys`]);
  });

  test("are fetched by the warm-up, before the first caller", async () => {
    const { groups, warmUp } = serve();
    await warmUp();
    respond = (_req, res) => res.writeHead(500).end();
    await groups(sign()).expect(200);
    expect(requests).toHaveLength(1);
  });

  test("are fetched again at most once in 30 s for tokens that name unknown keys", async () => {
    const { groups } = serve();
    await groups(sign()).expect(200);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 });
    for (let attempt = 0; attempt < 20; attempt++) await groups(sign(unknown)).expect(401);
    await groups(sign()).expect(200);
    expect(requests).toHaveLength(2);
  });

  test("include a key that Entra ID added since, and no key that it removed", async () => {
    const { groups } = serve();
    await groups(sign()).expect(200);
    await groups(sign(next)).expect(401);
    respond = (_req, res) => res.end(JSON.stringify(next.jwks));
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 });
    await groups(sign(next)).expect(200);
    await groups(sign()).expect(401);
  });

  describe("older than 12 hours", () => {
    const hours = (count: number) => count * 3_600_000;
    const unreachable = () => expect.stringMatching(/Entra ID at \S+ is unreachable; its keys of \S+ stay in use/);
    const lasting = (tokens = current) => sign(tokens, { exp: Math.floor((Date.now() + hours(72)) / 1000) });
    const both = JSON.stringify({ keys: [...current.jwks.keys, ...next.jwks.keys] });

    beforeEach(() => vi.useFakeTimers({ toFake: ["Date", "setInterval"] }));

    test("stay in use while Entra ID is down, without a wait for it", async () => {
      const { groups } = serve();
      const token = lasting();
      await groups(token).expect(200);
      respond = () => {}; // never responds
      vi.advanceTimersByTime(hours(36));
      await vi.waitFor(() => expect(requests).toHaveLength(2), 10_000);
      expect(await measure(() => groups(token).expect(200))).toBeLessThan(1_000);
      await vi.waitFor(() => expect(logged).toEqual(unreachable()), 10_000);
      await groups(token).expect(200);
    });

    test("are fetched once a minute while Entra ID is down, and not before", async () => {
      const { groups } = serve();
      const token = lasting();
      await groups(token).expect(200);
      respond = (_req, res) => res.writeHead(500).end();
      vi.advanceTimersByTime(hours(12) - 60_000);
      await groups(token).expect(200);
      expect(requests).toHaveLength(1);
      for (let minute = 1; minute <= 5; minute++) {
        vi.advanceTimersByTime(60_000);
        await vi.waitFor(() => expect(logged.match(/stay in use/g)).toHaveLength(minute), 10_000);
      }
      expect(requests).toHaveLength(6);
    });

    test("are replaced when Entra ID is back, so that a token with a withdrawn key gets 401", async () => {
      respond = (_req, res) => res.end(both);
      const { groups } = serve();
      const [ofWithdrawn, ofKept] = [lasting(), lasting(next)];
      await groups(ofWithdrawn).expect(200);
      respond = (_req, res) => res.writeHead(500).end();
      vi.advanceTimersByTime(hours(13));
      await vi.waitFor(() => expect(logged).toEqual(unreachable()), 10_000);
      await groups(ofWithdrawn).expect(200);
      respond = (_req, res) => res.end(JSON.stringify(next.jwks));
      vi.advanceTimersByTime(60_000);
      await vi.waitFor(() => groups(ofWithdrawn).expect(401), 10_000);
      await groups(ofKept).expect(200);
    });
  });
});

describe("Entra ID that is unreachable", () => {
  const failures: [string, RequestListener][] = [
    ["returns 500", (_req, res) => res.writeHead(500).end()],
    ["returns no keys", (_req, res) => res.end("<html>")],
    ["redirects to another host", (_req, res) => res.writeHead(302, { Location: "http://127.0.0.1:1/" }).end()],
    ["closes the connection", (_req, res) => res.destroy()],
    ["never responds", () => {}],
    ["never completes its response", (_req, res) => res.write("{")],
  ];
  test.each(failures)(
    "that %s: callers get 503 with Retry-After within 2 s, and nobody is let in",
    async (_, failure) => {
      respond = failure;
      const { groups } = serve();
      const token = sign();
      const responding = groups(token);
      expect(await measure(() => responding)).toBeLessThan(2_000);
      const { status, body, headers } = await responding;
      expect({ status, body }).toMatchObject({
        status: 503,
        body: {
          type: "urn:problem:sign-in-unavailable",
          title: `Entra ID at ${authority} is unreachable`,
          detail: "welcome needs its public keys to check the token. Retry.",
        },
      });
      expect(headers["retry-after"]).toBe("2");
      expect(logged).toContain('"level":50');
      for (const part of token.split(".")) expect(logged).not.toContain(part);
    },
  );

  test("gets one request in a second, however many callers wait", async () => {
    respond = (_req, res) => res.writeHead(500).end();
    const { groups } = serve();
    vi.useFakeTimers({ toFake: ["Date"] });
    for (let attempt = 0; attempt < 20; attempt++) await groups(sign()).expect(503);
    expect(requests).toHaveLength(1);
    vi.setSystemTime(Date.now() + 1_001);
    respond = (_req, res) => res.end(JSON.stringify(current.jwks));
    await groups(sign()).expect(200);
  });

  test("makes the warm-up fail with a message that names it", async () => {
    const [unused] = await freePorts(1);
    const origin = `http://127.0.0.1:${unused}`;
    await expect(serve(origin).warmUp()).rejects.toThrow(`Entra ID at ${origin} is unreachable; nobody can sign in`);
  });
});

describe("the settings", () => {
  test.each([
    { SIGN_IN_CLIENT_ID: clientId },
    { SIGN_IN_TENANT_ID: tenantId },
    { SIGN_IN_CLIENT_ID: clientId, SIGN_IN_TENANT_ID: "common" },
    { SIGN_IN_CLIENT_ID: "api://welcome", SIGN_IN_TENANT_ID: tenantId },
    { ...ids, SIGN_IN_AUTHORITY: "http://login.example" },
    { ...ids, SIGN_IN_AUTHORITY: "https://login.example; script-src *" },
    { ...ids, SIGN_IN_AUTHORITY: "https://login.example/tenant" },
  ])("are rejected: %o", (env) => {
    expect(() => readWelcomeConfig(env)).toThrow(/The configuration is not valid:\n {2}SIGN_IN_/);
  });

  test("name the missing one of the two ids", () => {
    expect(() => readWelcomeConfig({ SIGN_IN_CLIENT_ID: clientId })).toThrow("SIGN_IN_TENANT_ID is missing.");
    expect(() => readWelcomeConfig({ SIGN_IN_TENANT_ID: tenantId })).toThrow("SIGN_IN_CLIENT_ID is missing.");
  });

  test("let welcome listen on every address without DIRECT_CALLS", () => {
    expect(() => readWelcomeConfig({ HOST: "0.0.0.0" })).toThrow(/SIGN_IN_CLIENT_ID and SIGN_IN_TENANT_ID/);
    expect(readWelcomeConfig({ HOST: "0.0.0.0", ...ids }).HOST).toBe("0.0.0.0");
  });

  test("accept ids in capitals", async () => {
    const config = {
      ...readWelcomeConfig({ SIGN_IN_CLIENT_ID: clientId.toUpperCase(), SIGN_IN_TENANT_ID: tenantId.toUpperCase() }),
      SIGN_IN_AUTHORITY: authority,
    };
    expect(createSignIn(config, console)?.settings).toEqual({
      required: true,
      clientId,
      authority: `${authority}/${tenantId}`,
      scope: `api://${clientId}/user_impersonation`,
    });
  });
});
