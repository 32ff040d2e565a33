// Attacks welcome with sign-in from outside: real services, sidecars and store, and the Entra ID stand-in over https.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { sampleApplication, sampleUsers } from "../../../stand-ins/azure/sample.ts";
import { type Claims, decode } from "../../../stand-ins/azure/tokens.ts";
import { type Suite, startSuite } from "../../support/suite.ts";

const [ada, ben] = sampleUsers;
const { clientId } = sampleApplication;
const scope = `api://${clientId}/user_impersonation`;
const [adasSecret, bensSecret] = ['"ada-secret"', '"ben-secret"'];

let suite: Suite;
let entraKey: KeyObject;
/** What state-api stores the values of each user under. */
let adas: string;
let bens: string;

beforeAll(async () => {
  suite = await startSuite({ signIn: true });
  entraKey = createPrivateKey((await loadKeys()).tokenKey);
  adas = `${suite.azure.tenantId}.${ada.objectId}~`;
  bens = `${suite.azure.tenantId}.${ben.objectId}~`;
}, 60_000);
afterAll(() => suite?.end());

const tokenOf = (user = ada, claims: Claims = {}) => suite.azure.issueUserToken(user, claims);
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Sends the path as it is; fetch would resolve `..` before it sends a request. */
function call(path: string, headers: Record<string, string> = {}, method = "GET", body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(suite.services.welcome.origin);
    const sent = { hostname, port, path, method, headers: { "Content-Type": "application/json", ...headers } };
    const request = httpRequest(sent, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
    });
    request.on("error", reject);
    request.end(body);
  });
}

const read = (key: string, headers: Record<string, string>) => call(`/api/state/${key}`, headers);
/** Repeats a write that got 504: on a busy machine, it can exceed its 950 ms. */
async function write(key: string, value: string, headers: Record<string, string>): ReturnType<typeof call> {
  const response = await call(`/api/state/${key}`, headers, "PUT", value);
  return response.status === 504 ? write(key, value, headers) : response;
}

/** All rows of the store, behind the services. */
function stored(): Record<string, string> {
  using database = new DatabaseSync(suite.database, { readOnly: true });
  const rows = database.prepare("SELECT key, value FROM state ORDER BY key").all();
  return Object.fromEntries(rows.map(({ key, value }) => [String(key), String(value)]));
}

beforeEach(async () => {
  expect(await write("cart", adasSecret, bearer(tokenOf(ada)))).toMatchObject({ status: 204, text: "" });
  expect(await write("cart", bensSecret, bearer(tokenOf(ben)))).toMatchObject({ status: 204, text: "" });
});

describe("two users", () => {
  test("read their own values under the same key, which state-api stores apart", async () => {
    expect((await read("cart", bearer(tokenOf(ada)))).text).toBe(adasSecret);
    expect((await read("cart", bearer(tokenOf(ben)))).text).toBe(bensSecret);
    expect(stored()).toMatchObject({
      [`state-api||${adas}cart`]: adasSecret,
      [`state-api||${bens}cart`]: bensSecret,
    });
  });

  test("reach nothing of each other with a key that is made to look like the other's", async () => {
    const guesses = [
      `${adas}cart`,
      adas,
      `${adas.toUpperCase()}cart`,
      `~${adas}cart`,
      `x~${adas}cart`,
      adas.replace("~", "%7E").concat("cart"),
      `%2e%2e%2F${adas}cart`,
      `..%2F${adas}cart`,
      `../${adas}cart`,
      `../../state/${adas}cart`,
      `..;/${adas}cart`,
      `x/../${adas}cart`,
      `x%2F..%2F..%2Fstate%2F${adas}cart`,
      `%252e%252e%252F${adas}cart`,
      `..%5C${adas}cart`,
      `..%5c..%5c${adas}cart`,
      `%00${adas}cart`,
      `x%0d%0a${adas}cart`,
      `state-api||${adas}cart`,
      `state-api%7C%7C${adas}cart`,
      `${adas}cart?metadata.partitionKey=${adas.slice(0, -1)}`,
      `cart?metadata.partitionKey=${adas.slice(0, -1)}`,
      `cart?key=${adas}cart`,
      "..",
      "%2e%2e",
      "~",
      ".",
      "%2e",
      `${"x".repeat(810)}${adas}`,
      `${"x".repeat(5_000)}${adas}cart`,
    ];
    const before = stored();
    for (const guess of guesses) {
      const got = await read(guess, bearer(tokenOf(ben)));
      expect(got.text, guess).not.toContain("ada-secret");
      await write(guess, '"overwritten"', bearer(tokenOf(ben)));
    }
    const after = stored();
    for (const key of Object.keys(after)) {
      if (after[key] !== before[key]) expect(key.startsWith(`state-api||${bens}`), key).toBe(true);
    }
    expect((await read("cart", bearer(tokenOf(ada)))).text).toBe(adasSecret);
    expect(Object.values(after)).toContain('"overwritten"'); // some guesses are valid keys, and Ben's own
  });

  test("see their own keys in errors, never the stored ones", async () => {
    for (const key of ["missing", `${bens}missing`, `${adas}missing`, "~missing"]) {
      const got = await read(key, bearer(tokenOf(ben)));
      expect(JSON.parse(got.text)).toMatchObject({ status: 404, title: `Key "${key}" has no entry` });
    }
    const conflict = await write("cart", "1", { ...bearer(tokenOf(ben)), "If-None-Match": "*" });
    expect(conflict.status).toBe(412);
    expect(conflict.text).not.toContain(ben.objectId);
  });

  test("may use keys of up to 884 characters, and the message for a longer one says so", async () => {
    const headers = bearer(tokenOf(ben));
    expect((await write("x".repeat(884), "1", headers)).status).toBe(204);
    expect((await read("x".repeat(884), headers)).text).toBe("1");
    const tooLong = await write("x".repeat(885), "1", headers);
    expect(JSON.parse(tooLong.text)).toMatchObject({
      status: 400,
      detail: expect.stringContaining("a key has 1 to 884 of the characters"),
    });
  });

  test("get the same list of resource groups", async () => {
    const lists = await Promise.all([ada, ben].map((user) => call("/api/groups", bearer(tokenOf(user)))));
    expect(lists[0]?.text).toContain("rg-sample-container-apps");
    expect(lists[1]?.text).toBe(lists[0]?.text);
  });

  test("are not chosen by the headers of a gateway", async () => {
    const principal = { claims: [{ typ: "oid", val: ada.objectId }], auth_typ: "aad" };
    const forged = {
      "X-MS-CLIENT-PRINCIPAL": Buffer.from(JSON.stringify(principal)).toString("base64"),
      "X-MS-CLIENT-PRINCIPAL-ID": ada.objectId,
      "X-MS-CLIENT-PRINCIPAL-NAME": ada.username,
      "X-MS-CLIENT-PRINCIPAL-IDP": "aad",
      "X-MS-TOKEN-AAD-ACCESS-TOKEN": tokenOf(ada),
      "X-MS-TOKEN-AAD-ID-TOKEN": tokenOf(ada),
      "X-Forwarded-User": ada.objectId,
      Cookie: "AppServiceAuthSession=x",
    };
    expect((await read("cart", forged)).status).toBe(401);
    expect((await read("cart", { ...forged, ...bearer(tokenOf(ben)) })).text).toBe(bensSecret);
  });
});

/** A request for a list of URLs that a token may name; no test may reach it. */
const evil = createServer((req, res) => {
  evilRequests.push(req.url);
  res.end(JSON.stringify({ keys: [evilJwk()] }));
});
const evilRequests: unknown[] = [];
const evilPair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const evilJwk = () => ({ ...evilPair.publicKey.export({ format: "jwk" }), kid: "evil", use: "sig", alg: "RS256" });
let evilOrigin: string;
beforeAll(async () => {
  await once(evil.listen(0, "127.0.0.1"), "listening");
  evilOrigin = `http://127.0.0.1:${(evil.address() as AddressInfo).port}`;
});
afterAll(() => void evil.close());

const base64url = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
/** A token with Ada's valid claims and a header of the attacker's. */
function forge(header: object, signWith: (content: string) => Buffer | string): string {
  const { header: genuine, claims } = decode(tokenOf(ada)) ?? {};
  const content = `${base64url({ ...genuine, ...header })}.${base64url({ ...claims })}`;
  return `${content}.${Buffer.from(signWith(content)).toString("base64url")}`;
}
const rs256 = (key: KeyObject) => (content: string) => sign("sha256", Buffer.from(content), key);
const hs256 = (secret: string) => (content: string) => createHmac("sha256", secret).update(content).digest();
const evilKey = rs256(evilPair.privateKey);
const entraPem = (type: "spki" | "pkcs1") => String(createPublicKey(entraKey).export({ type, format: "pem" }));
const now = () => Math.floor(Date.now() / 1000);

/** The token, and the status and problem type that welcome returns for it. */
type Attack = [name: string, token: () => string, status: number, code: string];

const forged: Attack[] = [
  ["without a signature, alg none", () => forge({ alg: "none" }, () => ""), 401, "bad-token"],
  ["with a signature, alg none", () => forge({ alg: "none" }, rs256(entraKey)), 401, "bad-token"],
  ["with alg nOnE", () => forge({ alg: "nOnE" }, () => ""), 401, "bad-token"],
  [
    "signed by HMAC with the public key (SPKI)",
    () => forge({ alg: "HS256" }, hs256(entraPem("spki"))),
    401,
    "bad-token",
  ],
  [
    "signed by HMAC with the public key (PKCS 1)",
    () => forge({ alg: "HS256" }, hs256(entraPem("pkcs1"))),
    401,
    "bad-token",
  ],
  ["signed by HMAC with an empty secret", () => forge({ alg: "HS256", kid: "/dev/null" }, hs256("")), 401, "bad-token"],
  ["signed by another key under Entra ID's kid", () => forge({}, evilKey), 401, "bad-token"],
  ["signed by another key without a kid", () => forge({ kid: undefined }, evilKey), 401, "bad-token"],
  ["signed by another key, which jwk contains", () => forge({ jwk: evilJwk() }, evilKey), 401, "bad-token"],
  [
    "signed by another key, which jku points to",
    () => forge({ kid: "evil", jku: `${evilOrigin}/jwks` }, evilKey),
    401,
    "bad-token",
  ],
  [
    "signed by another key, which x5u points to",
    () => forge({ kid: "evil", x5u: `${evilOrigin}/x5u` }, evilKey),
    401,
    "bad-token",
  ],
  ["with a kid that is a URL", () => forge({ kid: `${evilOrigin}/kid` }, evilKey), 401, "bad-token"],
  ["with a kid that is a path", () => forge({ kid: "../../../../dev/null" }, evilKey), 401, "bad-token"],
  ["with a kid that is an object", () => forge({ kid: { a: 1 } }, evilKey), 401, "bad-token"],
  [
    "with a critical extension that welcome does not know",
    () => forge({ crit: ["x"], x: 1 }, rs256(entraKey)),
    401,
    "bad-token",
  ],
  [
    "with another RSA algorithm",
    () => forge({ alg: "RS512" }, (content) => sign("sha512", Buffer.from(content), entraKey)),
    401,
    "bad-token",
  ],
  [
    "whose claims were changed",
    () => tokenOf(ben).replace(/\..*\./, `.${tokenOf(ada).split(".")[1]}.`),
    401,
    "bad-token",
  ],
  ["without its signature", () => tokenOf().replace(/[^.]+$/, ""), 401, "bad-token"],
  ["cut off", () => tokenOf().slice(0, -40), 401, "bad-token"],
  ["that is no token", () => "x", 401, "bad-token"],
];

const claimed = (claims: Claims) => () => tokenOf(ada, claims);
const issuer = () => `${suite.azure.httpsUrl}/${suite.azure.tenantId}/v2.0`;
const other = "00000000-5a4d-4b1e-8000-0000000000ff";
const genuine: Attack[] = [
  ["that expired more than a minute ago", () => tokenOf(ada, { exp: now() - 61 }), 401, "bad-token"],
  ["that is valid only in more than a minute", () => tokenOf(ada, { nbf: now() + 70 }), 401, "bad-token"],
  ["that never expires", claimed({ exp: undefined }), 401, "bad-token"],
  ["whose expiry is text", claimed({ exp: "9999999999" }), 401, "bad-token"],
  ["without nbf", claimed({ nbf: undefined }), 401, "bad-token"],
  ["of another tenant", claimed({ tid: other }), 401, "bad-token"],
  ["without a tenant", claimed({ tid: undefined }), 401, "bad-token"],
  ["for another audience", claimed({ aud: other }), 401, "bad-token"],
  ["for an audience that only contains welcome's id", claimed({ aud: `${clientId}.example` }), 401, "bad-token"],
  ["without an audience", claimed({ aud: undefined }), 401, "bad-token"],
  ["of another issuer", claimed({ iss: `https://login.microsoftonline.com/${other}/v2.0` }), 401, "bad-token"],
  [
    "of version 1",
    () => tokenOf(ada, { iss: `https://sts.windows.net/${suite.azure.tenantId}/`, ver: "1.0" }),
    401,
    "bad-token",
  ],
  ["of an issuer that starts like Entra ID", () => tokenOf(ada, { iss: `${issuer()}/x` }), 401, "bad-token"],
  ["without an issuer", claimed({ iss: undefined }), 401, "bad-token"],
  ["without an object id", claimed({ oid: undefined }), 401, "bad-token"],
  ["whose object id is a path", claimed({ oid: `../${ada.objectId}` }), 401, "bad-token"],
  ["whose object id is an email address", claimed({ oid: ada.username }), 401, "bad-token"],
  ["whose object id has a line feed", claimed({ oid: `${ada.objectId}\n` }), 401, "bad-token"],
  ["whose object id is a list", claimed({ oid: [ada.objectId] }), 401, "bad-token"],
  ["with another scope", claimed({ scp: "user_impersonation_read User.Read" }), 403, "missing-scope"],
  ["with the scope in a list", claimed({ scp: ["user_impersonation"] }), 403, "missing-scope"],
  ["that is an ID token", claimed({ scp: undefined, azp: undefined, nonce: "n" }), 403, "missing-scope"],
  [
    "that belongs to an application",
    claimed({ scp: undefined, idtyp: "app", roles: ["user_impersonation"] }),
    403,
    "no-user",
  ],
  ["that belongs to an application and claims a scope", claimed({ idtyp: "app" }), 403, "no-user"],
];

describe.each([
  ["a forged token", forged],
  ["a genuine token", genuine],
] as const)("%s", (_, attacks) => {
  test.each(attacks)("%s is refused, reads nothing and changes nothing", async (_name, token, status, code) => {
    const before = stored();
    const headers = bearer(token());
    const answers = [
      await read("cart", headers),
      await write("cart", '"stolen"', headers),
      await call("/api/groups", headers),
      await call("/api/health", headers),
      await call("/api/secret", headers),
    ];
    for (const got of answers) {
      expect(JSON.parse(got.text)).toMatchObject({ status, type: `urn:problem:${code}`, detail: expect.any(String) });
      expect(got.status).toBe(status);
      const error = status === 401 ? "invalid_token" : "insufficient_scope";
      expect(got.headers["www-authenticate"]).toMatch(
        new RegExp(`^Bearer error="${error}", error_description="[A-Za-z ]+", scope="${scope}"$`),
      );
    }
    expect(stored()).toEqual(before);
    expect(evilRequests).toEqual([]);
  });
});

describe("a request without a token", () => {
  test.each([
    ["no header", {}],
    ["another scheme", { Authorization: `Basic ${Buffer.from("ada:pw").toString("base64")}` }],
    ["an empty header", { Authorization: "" }],
  ] as [string, Record<string, string>][])("with %s gets 401 and the scope to ask for", async (_, headers) => {
    const got = await read("cart", headers);
    expect(JSON.parse(got.text)).toMatchObject({ status: 401, type: "urn:problem:sign-in-required" });
    expect(got.headers["www-authenticate"]).toBe(`Bearer scope="${scope}"`);
  });

  test("gets 401 in every place but the Authorization header of one bearer token", async () => {
    const token = tokenOf();
    for (const got of [
      await call(`/api/state/cart?access_token=${token}`),
      await call("/api/state/cart", { Cookie: `access_token=${token}` }),
      await call("/api/state/cart", { "dapr-api-token": token }),
      await call("/api/state/cart", { Authorization: token }),
      await call("/api/state/cart", { Authorization: `Bearer ${token} ${token}` }),
      await call("/api/state/cart", { Authorization: `Bearer ${token}, Bearer ${token}` }),
    ]) {
      expect(got.status).toBe(401);
      expect(got.text).not.toContain("ada-secret");
    }
  });

  test.each([
    "/api/state/cart",
    "/api/health",
    "/api/secret",
    "/api/groups",
    "/api",
    "/api/",
    "/api/a-route-of-tomorrow",
    "/API/state/cart",
    "/Api/Groups",
    "/api/state/cart/",
    "/api/version/",
    "/api/version/../state/cart",
    "/api/version%2F..%2Fstate%2Fcart",
    "/api/sign-in;/../state/cart",
  ])("gets 401 for every method of %s", async (path) => {
    for (const method of ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"]) {
      expect((await call(path, {}, method)).status, method).toBe(401);
    }
  });

  test.each(["//api/state/cart", "/%61pi/state/cart", "/api%2Fstate%2Fcart", "/./api/state/cart", "/x/../api/groups"])(
    "gets 404 for %s, which is no route",
    async (path) => {
      expect((await call(path)).status).toBe(404);
    },
  );

  test.each([
    "/",
    "/style.css",
    "/page.js",
    "/sign-in.js",
    "/msal-browser.js",
    "/icon.svg",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/api/version",
  ])("gets %s", async (path) => {
    expect((await call(path)).status).toBe(200);
  });

  test("gets the settings for signing in, and nothing else of the configuration", async () => {
    expect(JSON.parse((await call("/api/sign-in")).text)).toEqual({
      required: true,
      clientId,
      authority: `${suite.azure.httpsUrl}/${suite.azure.tenantId}`,
      scope,
    });
  });
});

test("a token is valid for a minute after its expiry and before its start, because clocks differ", async () => {
  for (const claims of [{ exp: now() - 50 }, { nbf: now() + 50 }]) {
    expect((await read("cart", bearer(tokenOf(ada, claims)))).text).toBe(adasSecret);
  }
});

test("the scheme and the ids in a token are compared without case", async () => {
  const token = tokenOf(ada, { oid: ada.objectId.toUpperCase() });
  expect((await read("cart", { Authorization: `bearer ${token}` })).text).toBe(adasSecret);
});

test("welcome's log has no part of a token, even at debug", async () => {
  const tokens = [tokenOf(ada), tokenOf(ada, { exp: 1 }), forge({}, evilKey)];
  for (const token of tokens) await read("cart", bearer(token));
  const log = suite.services.welcome.output();
  expect(log).toContain('"code":"bad-token"');
  for (const part of tokens.flatMap((token) => token.split("."))) expect(log).not.toContain(part);
});
