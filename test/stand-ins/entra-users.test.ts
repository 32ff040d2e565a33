// Sign-in of users by the Entra ID stand-in, as a single-page app sees it.
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { loadKeys } from "../../stand-ins/azure/certificate.ts";
import { sampleApplication, sampleUsers } from "../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { createTokens, decode } from "../../stand-ins/azure/tokens.ts";

const [ada, ben] = sampleUsers;
const { clientId } = sampleApplication;
const scope = `api://${clientId}/user_impersonation openid profile offline_access`;
const redirectUri = "http://127.0.0.1:8082/";
const origin = "http://127.0.0.1:8082";
const webApp = {
  clientId: "00000000-0000-0000-0000-0000000000f1",
  objectId: "00000000-0000-0000-0000-0000000000f2",
  secret: "right",
  webRedirectUris: ["https://web.example/back"],
  spaRedirectUris: ["https://spa.example/back"],
  exposedScopes: ["read", "write"],
};

const folder = mkdtempSync(join(tmpdir(), "entra-users-test-"));
let azure: Azure;
let authority: string;
beforeAll(async () => {
  azure = await startAzure({ folder, applications: [sampleApplication, webApp] });
  authority = `${azure.httpsUrl}/${azure.tenantId}`;
  const { ca } = await loadKeys(folder);
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
});
afterAll(async () => {
  await azure.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  vi.useRealTimers();
});

type Fields = Readonly<Record<string, string | undefined>>;

/** `defaults`, with `fields` instead; without those that are undefined. */
function form(defaults: Fields, fields: Fields): URLSearchParams {
  return new URLSearchParams(
    Object.entries({ ...defaults, ...fields }).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

const verifier = randomBytes(32).toString("base64url");
const challenge = createHash("sha256").update(verifier).digest("base64url");
const authorizeFields = {
  client_id: clientId,
  redirect_uri: redirectUri,
  response_type: "code",
  response_mode: "fragment",
  scope,
  state: "the state",
  nonce: "the nonce",
  client_info: "1",
  code_challenge: challenge,
  code_challenge_method: "S256",
};

const authorize = (fields: Fields = {}) =>
  fetch(`${authority}/oauth2/v2.0/authorize?${form(authorizeFields, fields)}`, { redirect: "manual" });

/** The fields that the browser takes back to the application. */
async function answer(fields: Fields = {}): Promise<Record<string, string>> {
  const response = await authorize(fields);
  expect(response.status).toBe(302);
  const { hash, search } = new URL(response.headers.get("location") ?? "");
  return Object.fromEntries(new URLSearchParams(hash.slice(1) || search));
}

async function getCode(fields: Fields = {}): Promise<string> {
  const { code = "" } = await answer({ sample_user: ada.objectId, ...fields });
  return code;
}

async function redeem(fields: Fields, headers: Record<string, string> = { Origin: origin }, method = "POST") {
  const body = form({ client_id: clientId, client_info: "1" }, fields);
  const response = await fetch(`${authority}/oauth2/v2.0/token`, {
    method,
    headers,
    body: method === "POST" ? body : null,
  });
  return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) };
}

const redeemCode = (code: string, fields: Fields = {}, headers?: Record<string, string>) =>
  redeem(
    { grant_type: "authorization_code", code, redirect_uri: redirectUri, code_verifier: verifier, scope, ...fields },
    headers,
  );

const refused = (error: string, code: number, status = 400) => ({
  status,
  body: { error, error_codes: [code], error_description: expect.stringMatching(`^AADSTS${code}: .* Trace ID: `) },
});

describe("the metadata document", () => {
  test("names the endpoints, and pages of any origin can read it", async () => {
    const response = await fetch(`${authority}/v2.0/.well-known/openid-configuration`);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await response.json()).toMatchObject({
      issuer: `${authority}/v2.0`,
      authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
      token_endpoint: `${authority}/oauth2/v2.0/token`,
      end_session_endpoint: `${authority}/oauth2/v2.0/logout`,
      jwks_uri: `${authority}/discovery/v2.0/keys`,
      response_types_supported: ["code"],
      id_token_signing_alg_values_supported: ["RS256"],
    });
  });
});

describe("instance discovery", () => {
  const ask = async (endpoint: string) => {
    const query = new URLSearchParams({ "api-version": "1.1", authorization_endpoint: endpoint });
    const response = await fetch(`${new URL(authority).origin}/common/discovery/instance?${query}`);
    return { status: response.status, body: await response.json() };
  };

  test("names the metadata document of the tenant and the host's aliases", async () => {
    const { host } = new URL(authority);
    expect(await ask(`${authority}/oauth2/v2.0/authorize`)).toEqual({
      status: 200,
      body: {
        tenant_discovery_endpoint: `${authority}/v2.0/.well-known/openid-configuration`,
        "api-version": "1.1",
        metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
      },
    });
  });
  test.each(["https://login.example/tenant/oauth2/v2.0/authorize", "no URL", ""])(
    "returns AADSTS50049 for the endpoint %j",
    async (endpoint) => {
      expect(await ask(endpoint)).toMatchObject(refused("invalid_instance", 50049));
    },
  );
});

describe("the authorization endpoint", () => {
  test("shows the sample users and the permissions, and returns a code for the chosen user", async () => {
    const response = await authorize();
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    const page = await response.text();
    expect(page).toContain("sample-welcome: user_impersonation");
    for (const { name, objectId } of sampleUsers) expect(page).toContain(`value="${objectId}">${name}`);

    const fields = new URLSearchParams({ ...authorizeFields, sample_user: ben.objectId });
    const chosen = await fetch(`${authority}/oauth2/v2.0/authorize`, {
      method: "POST",
      body: fields,
      redirect: "manual",
    });
    expect(chosen.status).toBe(302);
    const location = new URL(chosen.headers.get("location") ?? "");
    expect(location.href.split("#")[0]).toBe(redirectUri);
    const { code = "", state, client_info = "" } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    expect(state).toBe("the state");
    expect(JSON.parse(Buffer.from(client_info, "base64url").toString())).toEqual({
      uid: ben.objectId,
      utid: azure.tenantId,
    });
    expect(decode((await redeemCode(code)).body.access_token)?.claims.oid).toBe(ben.objectId);
  });

  test("returns the code in the query without a response mode, and none of what the request does not ask for", async () => {
    const response = await authorize({
      sample_user: ada.objectId,
      response_mode: undefined,
      state: undefined,
      client_info: undefined,
    });
    const { search, hash } = new URL(response.headers.get("location") ?? "");
    expect(hash).toBe("");
    expect([...new URLSearchParams(search).keys()]).toEqual(["code"]);
  });

  test("escapes what the request puts on the page", async () => {
    const page = await (await authorize({ state: `"><script>alert(1)</script>` })).text();
    expect(page).not.toContain("<script");
    expect(page).toContain("&#60;script&#62;");
  });

  test.each([
    ["an unknown client", { client_id: "00000000-0000-0000-0000-000000000009" }, 700016],
    ["no client", { client_id: undefined }, 900144],
    ["an unregistered redirect URI", { redirect_uri: "https://attacker.example/" }, 50011],
    ["no redirect URI", { redirect_uri: undefined }, 50011],
    ["a redirect URI of another case", { redirect_uri: "http://127.0.0.1:8082/A" }, 50011],
    ["a redirect URI with credentials", { redirect_uri: "http://127.0.0.1@attacker.example/" }, 50011],
    ["a redirect URI of another scheme", { redirect_uri: "javascript://127.0.0.1/" }, 50011],
    ["a redirect URI on IPv6 loopback", { redirect_uri: "http://[::1]:8082/" }, 50011],
    ["a response mode that the stand-in lacks", { response_mode: "form_post" }, 70007],
  ])("does not redirect for %s, and shows the error", async (_, fields, code) => {
    const response = await authorize({ sample_user: ada.objectId, ...fields });
    expect(response.status).toBe(400);
    expect(response.headers.get("location")).toBeNull();
    expect(await response.text()).toContain(`AADSTS${code}: `);
  });

  test.each([
    ["no response type", { response_type: undefined }, "invalid_request", 900144],
    ["an ID token from this endpoint", { response_type: "id_token" }, "unsupported_response_type", 700054],
    ["no PKCE challenge", { code_challenge: undefined }, "invalid_request", 9002325],
    ["the PKCE method plain", { code_challenge_method: "plain" }, "invalid_request", 50149],
    ["no PKCE method", { code_challenge_method: undefined }, "invalid_request", 50149],
    ["a short challenge", { code_challenge: "short" }, "invalid_request", 501491],
    ["no scope", { scope: undefined }, "invalid_request", 900144],
    ["an unknown API", { scope: "api://unknown/read" }, "invalid_resource", 500011],
    ["a scope that the API does not expose", { scope: `api://${clientId}/all` }, "invalid_client", 650053],
    ["scopes of two APIs", { scope: `${scope} api://${webApp.clientId}/read` }, "invalid_scope", 28000],
    ["a silent sign-in", { prompt: "none" }, "login_required", 50058],
    ["a user who cancels", { sample_user: "cancelled" }, "access_denied", 65004],
    ["a user of another tenant", { sample_user: clientId }, "invalid_request", 50034],
  ])("tells the application about %s", async (_, fields, error, code) => {
    const body = await answer({ sample_user: ada.objectId, ...fields });
    expect(body).toMatchObject({ error, state: "the state", error_uri: `${azure.httpsUrl}/error?code=${code}` });
    expect(body.error_description).toMatch(`AADSTS${code}: `);
    expect(body.code).toBeUndefined();
  });

  test("ignores the port of a loopback redirect URI, and only there", async () => {
    const responses = await Promise.all([
      authorize({ redirect_uri: "http://localhost:1/" }),
      authorize({ redirect_uri: "http://127.0.0.1/" }),
      authorize({ client_id: webApp.clientId, redirect_uri: "https://spa.example:444/back" }),
    ]);
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 400]);
  });

  test("knows no other tenant", async () => {
    const url = `${azure.httpsUrl}/00000000-0000-0000-0000-000000000009/oauth2/v2.0/authorize`;
    expect(await (await fetch(url)).json()).toMatchObject({ error_codes: [90002] });
  });
});

describe("the token endpoint, for a code", () => {
  test("issues version 2 tokens with the user's claims, which verify with the published keys", async () => {
    const { status, body, headers } = await redeemCode(await getCode());
    expect(status).toBe(200);
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(body).toMatchObject({
      token_type: "Bearer",
      expires_in: 3600,
      refresh_token_expires_in: 86_400,
      scope: `api://${clientId}/user_impersonation`,
    });
    const keys = createRemoteJWKSet(new URL(`${authority}/discovery/v2.0/keys`));
    const expected = { issuer: `${authority}/v2.0`, audience: clientId, algorithms: ["RS256"] };
    const access = await jwtVerify(body.access_token, keys, expected);
    expect(access.payload).toMatchObject({
      azp: clientId,
      azpacr: "0",
      name: ada.name,
      oid: ada.objectId,
      preferred_username: ada.username,
      scp: "user_impersonation",
      tid: azure.tenantId,
      ver: "2.0",
    });
    const id = await jwtVerify(body.id_token, keys, expected);
    expect(id.payload).toMatchObject({ nonce: "the nonce", oid: ada.objectId, tid: azure.tenantId, ver: "2.0" });
    expect(id.payload.scp).toBeUndefined();
    expect(id.payload.uti).not.toBe(access.payload.uti);
  });

  test("gives a user another subject in another application, and the same object id", async () => {
    const web = { client_id: webApp.clientId, redirect_uri: "https://spa.example/back" };
    const readScope = `api://${webApp.clientId}/read openid profile`;
    const code = await getCode({ ...web, scope: readScope });
    const first = decode((await redeemCode(await getCode())).body.access_token)?.claims;
    const second = decode((await redeemCode(code, { ...web, scope: readScope })).body.access_token)?.claims;
    expect(second).toMatchObject({ aud: webApp.clientId, scp: "read", oid: first?.oid });
    expect(second?.sub).not.toBe(first?.sub);
  });

  test("issues only what was asked for: no refresh token, no ID token, no name, and no token for the API", async () => {
    const few = `api://${clientId}/user_impersonation`;
    const { body } = await redeemCode(await getCode({ scope: few }), { scope: few });
    expect(Object.keys(body).toSorted()).toEqual(
      ["access_token", "client_info", "expires_in", "ext_expires_in", "scope", "token_type"].toSorted(),
    );
    expect(decode(body.access_token)?.claims.name).toBeUndefined();
    const graph = await redeemCode(await getCode({ scope: "openid" }), { scope: "openid" });
    expect(decode(graph.body.access_token)?.claims).toMatchObject({
      aud: "00000003-0000-0000-c000-000000000000",
      iss: `https://sts.windows.net/${azure.tenantId}/`,
      ver: "1.0",
    });
  });

  test("redeems a code once", async () => {
    const code = await getCode();
    expect((await redeemCode(code)).status).toBe(200);
    expect(await redeemCode(code)).toMatchObject(refused("invalid_grant", 54005));
  });

  test.each<[string, Fields, Record<string, string>, string, number, number?]>([
    ["no Origin header", {}, {}, "invalid_request", 9002327],
    ["a client secret", { client_secret: "x" }, { Origin: origin }, "invalid_client", 700025, 401],
    ["no verifier", { code_verifier: undefined }, { Origin: origin }, "invalid_grant", 50148],
    ["another verifier", { code_verifier: challenge }, { Origin: origin }, "invalid_grant", 501481],
    ["another redirect URI", { redirect_uri: "http://localhost:8082/" }, { Origin: origin }, "invalid_grant", 500112],
    ["another client", { client_id: webApp.clientId }, { Origin: origin }, "invalid_grant", 70000],
    ["an invented code", { code: "0.x" }, { Origin: origin }, "invalid_grant", 9002313],
    ["no code", { code: undefined }, { Origin: origin }, "invalid_request", 900144],
    ["no grant type", { grant_type: undefined }, { Origin: origin }, "invalid_request", 900144],
    ["an unknown grant type", { grant_type: "password" }, { Origin: origin }, "unsupported_grant_type", 70003],
    ["a scope without consent", { scope: "openid" }, { Origin: origin }, "invalid_grant", 65001],
  ])("refuses %s, and the code stays valid", async (_, fields, headers, error, code, status) => {
    const grant = await getCode();
    expect(await redeemCode(grant, fields, headers)).toMatchObject(refused(error, code, status));
    expect((await redeemCode(grant)).status).toBe(200);
  });

  test("refuses a code after ten minutes", async () => {
    const code = await getCode();
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 601_000 });
    expect(await redeemCode(code)).toMatchObject(refused("invalid_grant", 70008));
  });

  test("redeems a web app's code only with its secret and without an Origin header", async () => {
    const web = { client_id: webApp.clientId, redirect_uri: "https://web.example/back" };
    const few = `api://${webApp.clientId}/read`;
    const code = await getCode({ ...web, scope: few, code_challenge: undefined });
    const fields = { ...web, scope: few, code_verifier: undefined };
    const crossOrigin = await redeemCode(code, { ...fields, client_secret: "right" });
    expect(crossOrigin).toMatchObject(refused("invalid_request", 9002326));
    expect(crossOrigin.body.error_description).toContain(`Request origin: '${origin}'.`);
    expect(await redeemCode(code, fields, {})).toMatchObject(refused("invalid_client", 7000218, 401));
    expect((await redeemCode(code, { ...fields, client_secret: "right" }, {})).status).toBe(200);
  });

  test("accepts only POST, and allows no request header that needs a preflight", async () => {
    expect(await redeem({}, { Origin: origin }, "GET")).toMatchObject(refused("invalid_request", 900561));
    const preflight = await fetch(`${authority}/oauth2/v2.0/token`, { method: "OPTIONS", headers: { Origin: origin } });
    expect(preflight.headers.get("access-control-allow-headers")).toBeNull();
  });
});

describe("the token endpoint, for a refresh token", () => {
  const refresh = (refresh_token: string, fields: Fields = {}, headers?: Record<string, string>) =>
    redeem({ grant_type: "refresh_token", refresh_token, scope, ...fields }, headers);

  test("issues new tokens, and each new refresh token expires 24 hours after the sign-in", async () => {
    const { body: first } = await redeemCode(await getCode());
    const start = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now: start + 23 * 3_600_000 });
    const { status, body: second } = await refresh(first.refresh_token);
    expect(status).toBe(200);
    expect(second.refresh_token).not.toBe(first.refresh_token);
    expect(second.refresh_token_expires_in).toBeGreaterThan(3_590);
    expect(second.refresh_token_expires_in).toBeLessThanOrEqual(3_600);
    expect(decode(second.access_token)?.claims.oid).toBe(ada.objectId);
    expect(decode(second.id_token)?.claims.nonce).toBeUndefined();
    vi.useFakeTimers({ toFake: ["Date"], now: start + 24 * 3_600_000 + 1_000 });
    expect(await refresh(second.refresh_token)).toMatchObject(refused("invalid_grant", 700084));
  });

  test.each<[string, Fields, Record<string, string>, string, number]>([
    ["no Origin header", {}, {}, "invalid_request", 9002327],
    ["another client", { client_id: webApp.clientId }, { Origin: origin }, "invalid_grant", 70000],
    ["an invented token", { refresh_token: "1.x" }, { Origin: origin }, "invalid_grant", 9002313],
    ["no token", { refresh_token: undefined }, { Origin: origin }, "invalid_request", 900144],
    ["more scopes", { scope: `api://${webApp.clientId}/read` }, { Origin: origin }, "invalid_grant", 65001],
  ])("refuses %s", async (_, fields, headers, error, code) => {
    const { body } = await redeemCode(await getCode());
    expect(await refresh(body.refresh_token, fields, headers)).toMatchObject(refused(error, code));
  });
});

describe("the end of a session", () => {
  const logout = (query: Fields) => fetch(`${authority}/oauth2/v2.0/logout?${form({}, query)}`, { redirect: "manual" });

  test("redirects to a registered address with the state, and to no other", async () => {
    const back = await logout({ post_logout_redirect_uri: redirectUri, state: "s" });
    expect(back.status).toBe(302);
    expect(back.headers.get("location")).toBe(`${redirectUri}?state=s`);
    for (const query of [{}, { post_logout_redirect_uri: "https://attacker.example/" }]) {
      const stay = await logout(query);
      expect(stay.status).toBe(200);
      expect(await stay.text()).toContain("You signed out");
    }
  });
});

describe("tokens for tests", () => {
  test("equal those of a sign-in, apart from the claims that the test replaces or leaves out", async () => {
    const { body } = await redeemCode(await getCode());
    const { uti: _, ...signedIn } = decode(body.access_token)?.claims ?? {};
    const times = { iat: signedIn.iat, nbf: signedIn.nbf, exp: signedIn.exp };
    const { uti: __, ...direct } = decode(azure.issueUserToken(ada, times))?.claims ?? {};
    expect(direct).toEqual(signedIn);
    const { scp, ...changed } = decode(azure.issueUserToken(ben, { scp: undefined, exp: 1 }))?.claims ?? {};
    expect(scp).toBeUndefined();
    expect(changed).toMatchObject({ oid: ben.objectId, exp: 1 });
  });

  test("of another key do not verify with the published keys", async () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const stranger = createTokens(privateKey.export({ type: "pkcs8", format: "pem" }).toString(), azure.tenantId);
    const forged = stranger.sign(decode(azure.issueUserToken(ada))?.claims ?? {}).token;
    const keys = createRemoteJWKSet(new URL(`${authority}/discovery/v2.0/keys`));
    await expect(jwtVerify(forged, keys)).rejects.toThrow("no applicable key");
    await expect(jwtVerify(azure.issueUserToken(ada), keys)).resolves.toBeDefined();
  });
});
