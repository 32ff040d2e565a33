// Sign-in with Entra ID: checks the access tokens that callers send.
// https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens
import type { Request, RequestHandler } from "express";
import type { JWKSCacheInput, JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from "jose";
import { field } from "../runtime/field.ts";
import type { Logger } from "../runtime/log.ts";
import { Problem } from "../runtime/problem.ts";
import type { SignInSettings } from "./api.ts";
import { isUuid, type WelcomeConfig } from "./config.ts";

export interface SignIn {
  /** What the page needs to sign a user in. */
  readonly settings: Extract<SignInSettings, { required: true }>;
  /**
   * Lets a request pass if it has a valid access token of a user.
   * @throws {Problem} 401 without a valid token; 403 when the token gives no access; 503 when Entra ID's keys cannot be
   * fetched
   */
  readonly authenticate: RequestHandler;
  /**
   * `TENANT.OBJECT~` from the caller's token, which starts the keys that the caller's values are stored under.
   * @throws for a request that has not passed `authenticate`
   */
  prefixOf(req: Request): string;
  /** Fetches Entra ID's keys, so that no caller has to wait for them. */
  warmUp(): Promise<void>;
}

/** The paths below /api that need no sign-in. Every other one does, a new one included. */
export const PUBLIC_API: ReadonlySet<string> = new Set(["/api/sign-in", "/api/version"]);

/** Length of what `prefixOf` returns: two UUIDs, a dot and a tilde. */
export const PREFIX_LENGTH = 36 + 1 + 36 + 1;

type SignInConfig = Pick<WelcomeConfig, "SIGN_IN_CLIENT_ID" | "SIGN_IN_TENANT_ID" | "SIGN_IN_AUTHORITY">;

/** Maximum wait for Entra ID's keys: a caller gets a response within 2 s. */
const KEYS_TIMEOUT_MS = 1_500;
/**
 * Age at which the keys are fetched again, in the background: a key that Entra ID has withdrawn is then rejected. While
 * Entra ID is unreachable, the keys stay in use. Microsoft's libraries for .NET do the same at the same age:
 * https://learn.microsoft.com/entra/identity-platform/howto-build-services-resilient-to-metadata-refresh
 */
const KEYS_MAX_AGE_MS = 12 * 3_600_000;
/** How often the age is compared with the clock, which goes on while the machine sleeps; timers do not. */
const AGE_CHECK_INTERVAL_MS = 60_000;
/** Tokens with unknown keys cause at most one request to Entra ID in this time. */
const UNKNOWN_KEY_COOLDOWN_MS = 30_000;
/** After a failed request to Entra ID, no other one is sent for this time. */
const FAILURE_COOLDOWN_MS = 1_000;
const CLOCK_TOLERANCE_SECONDS = 60;
const SCOPE_NAME = "user_impersonation";
/** RFC 6750, section 2.1. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** Undefined when sign-in is off. */
export function createSignIn(config: SignInConfig, log: Pick<Logger, "warn">): SignIn | undefined {
  if (config.SIGN_IN_CLIENT_ID === "") return undefined;
  const clientId = config.SIGN_IN_CLIENT_ID.toLowerCase();
  const tenantId = config.SIGN_IN_TENANT_ID.toLowerCase();
  const authority = `${config.SIGN_IN_AUTHORITY}/${tenantId}`;
  const scope = `api://${clientId}/${SCOPE_NAME}`;
  const prefixes = new WeakMap<Request, string>();
  const refuse = createRefusals(scope);
  let loading: Promise<Verifier> | undefined;
  const load = () => {
    loading ??= loadVerifier({ authority, clientId, log });
    return loading;
  };

  async function claimsOf(token: string): Promise<JWTPayload> {
    const { verify } = await load();
    try {
      return await verify(token);
    } catch (error) {
      if (error instanceof KeysUnavailable) {
        throw new Problem(503, "sign-in-unavailable", `Entra ID at ${config.SIGN_IN_AUTHORITY} is unreachable`, {
          detail: "welcome needs its public keys to check the token. Retry.",
          headers: { "Retry-After": "2" },
          cause: error.cause,
        });
      }
      throw refuse.token(...explain(error, authority, scope));
    }
  }

  return {
    settings: { required: true, clientId, authority, scope },
    async authenticate(req, _res, next) {
      const header = req.headers.authorization ?? "";
      if (!/^Bearer\b/i.test(header)) throw refuse.stranger();
      const [, token] = BEARER.exec(header) ?? [];
      if (token === undefined) throw refuse.token("The Authorization header is malformed", "Send one bearer token.");
      const { tid, oid, scp, idtyp } = await claimsOf(token);
      if (String(tid).toLowerCase() !== tenantId) {
        throw refuse.token("The token is from another tenant", `Sign in to the tenant ${tenantId}.`);
      }
      if (idtyp === "app") throw refuse.application();
      if (typeof scp !== "string" || !scp.split(" ").includes(SCOPE_NAME)) throw refuse.scope();
      if (!isUuid(oid)) throw refuse.token("The token names no user", "It needs the claim oid, a UUID.");
      prefixes.set(req, `${tenantId}.${oid.toLowerCase()}~`);
      next();
    },
    prefixOf(req) {
      const prefix = prefixes.get(req);
      if (prefix === undefined) throw new Error("a route without sign-in asks for the caller's keys");
      return prefix;
    },
    async warmUp() {
      const { fetchKeys } = await load();
      await fetchKeys().catch((cause) => {
        throw new Error(`Entra ID at ${config.SIGN_IN_AUTHORITY} is unreachable; nobody can sign in`, { cause });
      });
    },
  };
}

interface Verifier {
  /** The claims of a valid token. Rejects with KeysUnavailable, or with jose's error for a token that is not valid. */
  verify(token: string): Promise<JWTPayload>;
  fetchKeys(): Promise<void>;
}

class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";
}

interface VerifierOptions {
  readonly authority: string;
  readonly clientId: string;
  readonly log: Pick<Logger, "warn">;
}

/** Loads jose on first use: without sign-in, no service pays for it. */
async function loadVerifier({ authority, clientId, log }: VerifierOptions): Promise<Verifier> {
  const { createRemoteJWKSet, customFetch, errors, jwksCache, jwtVerify } = await import("jose");
  const ofToken = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported];
  /** jose records in `uat` when it last received keys. */
  const received: JWKSCacheInput = {};
  // The URL is Entra ID's, whatever `jku` or `x5u` a token names.
  const keys = createRemoteJWKSet(new URL(`${authority}/discovery/v2.0/keys`), {
    timeoutDuration: KEYS_TIMEOUT_MS,
    cacheMaxAge: Number.POSITIVE_INFINITY, // jose would reject every token once the keys are older
    cooldownDuration: UNKNOWN_KEY_COOLDOWN_MS,
    [customFetch]: createPatientFetch(),
    [jwksCache]: received,
  });
  const fetchOldKeys = () => {
    const { uat = Number.POSITIVE_INFINITY } = received;
    if (Date.now() - uat < KEYS_MAX_AGE_MS) return;
    keys.reload().catch((error) => {
      const since = new Date(uat).toISOString();
      log.warn({ err: error }, `Entra ID at ${authority} is unreachable; its keys of ${since} stay in use`);
    });
  };
  setInterval(fetchOldKeys, AGE_CHECK_INTERVAL_MS).unref();
  const findKey: JWTVerifyGetKey = (header, token) =>
    keys(header, token).catch((error) => {
      if (ofToken.some((type) => error instanceof type)) throw error;
      throw new KeysUnavailable("the keys of Entra ID are not available", { cause: error });
    });
  const options: JWTVerifyOptions = {
    issuer: `${authority}/v2.0`,
    audience: clientId,
    algorithms: ["RS256"],
    requiredClaims: ["exp", "nbf", "tid", "oid"],
    clockTolerance: CLOCK_TOLERANCE_SECONDS,
  };
  return {
    verify: async (token) => (await jwtVerify(token, findKey, options)).payload,
    fetchKeys: keys.reload,
  };
}

/** `fetch` that repeats a failure for FAILURE_COOLDOWN_MS instead of sending another request. */
function createPatientFetch(): typeof fetch {
  let failure: { readonly error: unknown; readonly until: number } | undefined;
  return async (url, options) => {
    if (failure && Date.now() < failure.until) throw failure.error;
    try {
      const response = await fetch(url, options);
      if (response.status !== 200) throw new Error(`${url} returned status ${response.status}`);
      failure = undefined;
      return response;
    } catch (error) {
      failure = { error, until: Date.now() + FAILURE_COOLDOWN_MS };
      throw error;
    }
  };
}

/** Title and detail for a token that jose rejects. They name what was expected, and nothing of the token. */
function explain(error: unknown, authority: string, scope: string): [title: string, detail: string] {
  const code = String(field(error, "code"));
  if (!code.startsWith("ERR_J")) throw error;
  switch (
    code === "ERR_JWT_CLAIM_VALIDATION_FAILED" || code === "ERR_JWT_EXPIRED" ? field(error, "claim") : undefined
  ) {
    case "exp":
      return ["The token has expired", "Sign in again."];
    case "nbf":
      return ["The token is not valid yet", "Compare the clocks of this service and of Entra ID."];
    case "aud":
      return ["The token is for another audience", `Request a token for the scope ${scope}.`];
    case "iss":
      return [
        "The token is from another issuer",
        `The issuer must be ${authority}/v2.0. A token of the right tenant has another one if the application's ` +
          "requestedAccessTokenVersion is not 2.",
      ];
  }
  return ["The token is not valid", `Request an access token from ${authority} for the scope ${scope}.`];
}

/** Responses for callers who get no access, with the challenge of RFC 6750, section 3. */
function createRefusals(scope: string) {
  const challenge = (error: string, description: string) => ({
    "WWW-Authenticate": `Bearer error="${error}", error_description="${description}", scope="${scope}"`,
  });
  return {
    stranger: () =>
      new Problem(401, "sign-in-required", "Sign in first", {
        detail: `Send an access token for the scope ${scope} in the header Authorization: Bearer.`,
        headers: { "WWW-Authenticate": `Bearer scope="${scope}"` },
      }),
    token: (title: string, detail: string) =>
      new Problem(401, "bad-token", title, { detail, headers: challenge("invalid_token", title) }),
    application: () =>
      new Problem(403, "no-user", "The token belongs to an application, not to a user", {
        detail: "Request a token for a user, with the authorization code flow.",
        headers: challenge("insufficient_scope", "The token belongs to an application"),
      }),
    scope: () =>
      new Problem(403, "missing-scope", `The token lacks the scope ${SCOPE_NAME}`, {
        detail: `Request an access token for the scope ${scope}. An ID token has no scope.`,
        headers: challenge("insufficient_scope", "The token lacks the scope"),
      }),
  };
}
