// The part of Entra ID that applications sign in with: client secrets and federated tokens.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
import { randomUUID } from "node:crypto";
import type { Answer, Request } from "./http.ts";
import { type Claims, decode, isSignedWith, type Jwk, type Principal, type Tokens } from "./tokens.ts";

export interface Application extends Principal {
  readonly secret?: string;
  readonly federatedCredentials?: readonly FederatedCredential[];
}

/** Whose tokens an application may sign in with instead of a secret. */
export interface FederatedCredential {
  readonly issuer: string;
  readonly subject: string;
  /** Default: what Kubernetes and Entra ID have agreed on. */
  readonly audiences?: readonly string[];
  /** Where the issuer's public keys are; the real Entra ID finds it through the issuer's own discovery document. */
  readonly jwksUri: string;
}

export interface Directory {
  readonly tenantId: string;
  readonly applications: readonly Application[];
  readonly tokens: Tokens;
  /** Resources that tokens can be had for. */
  readonly audiences: readonly string[];
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const maximumSkewSeconds = 300;

/** An OAuth error with Entra ID's own number in its description. */
class Refusal extends Error {
  readonly answer: Answer;

  constructor(status: number, error: string, code: number, message: string) {
    super(message);
    const trace = randomUUID();
    const timestamp = new Date().toISOString();
    const error_description = `AADSTS${code}: ${message} Trace ID: ${trace} Correlation ID: ${trace} Timestamp: ${timestamp}`;
    this.answer = {
      status,
      body: { error, error_description, error_codes: [code], timestamp, trace_id: trace, correlation_id: trace },
    };
  }
}

/** Undefined for a path that is not Entra ID's. */
export async function onEntra(request: Request, directory: Directory): Promise<Answer | undefined> {
  const [, tenant = "", path = ""] = /^\/([^/]+)(\/.+)$/.exec(request.url.pathname) ?? [];
  try {
    switch (path) {
      case "/v2.0/.well-known/openid-configuration":
        checkTenant(tenant, directory);
        return { status: 200, body: discovery(`${request.url.origin}/${tenant}`) };
      case "/discovery/v2.0/keys":
        return { status: 200, body: directory.tokens.jwks };
      case "/oauth2/v2.0/token":
        checkTenant(tenant, directory);
        return await issueToken(request, directory);
      default:
        return undefined;
    }
  } catch (error) {
    if (error instanceof Refusal) return error.answer;
    throw error;
  }
}

function checkTenant(tenant: string, { tenantId }: Directory): void {
  if (tenant !== tenantId) throw new Refusal(400, "invalid_request", 90002, `Tenant '${tenant}' not found.`);
}

function discovery(authority: string) {
  return {
    issuer: `${authority}/v2.0`,
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    token_endpoint: `${authority}/oauth2/v2.0/token`,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
    token_endpoint_auth_methods_supported: ["client_secret_post", "private_key_jwt"],
    response_types_supported: ["code"],
    subject_types_supported: ["pairwise"],
    id_token_signing_alg_values_supported: ["RS256"],
  };
}

async function issueToken({ method, body }: Request, directory: Directory): Promise<Answer> {
  const form = new URLSearchParams(body);
  const grant = form.get("grant_type");
  if (method !== "POST" || grant !== "client_credentials") {
    throw new Refusal(400, "unsupported_grant_type", 70003, `The app requested an unsupported grant type '${grant}'.`);
  }
  const clientId = form.get("client_id");
  const application = directory.applications.find((candidate) => candidate.clientId === clientId);
  if (!application) {
    const message = `Application with identifier '${clientId}' was not found in the directory.`;
    throw new Refusal(400, "unauthorized_client", 700016, message);
  }
  await authenticate(form, application);

  const [, audience] = /^(.+)\/\.default$/.exec(form.get("scope")?.split(" ")[0] ?? "") ?? [];
  if (audience === undefined) {
    throw new Refusal(
      400,
      "invalid_scope",
      1002012,
      "The provided value for scope is not valid: it must end in /.default.",
    );
  }
  if (!directory.audiences.includes(audience)) {
    throw new Refusal(400, "invalid_resource", 500011, `The resource principal named ${audience} was not found.`);
  }
  const continuousAccess = /"xms_cc":\{"values":\["cp1"\]\}/i.test(form.get("claims") ?? "");
  const { token } = directory.tokens.issue(application, { audience, continuousAccess });
  const { lifetime } = directory.tokens;
  return {
    status: 200,
    body: { token_type: "Bearer", expires_in: lifetime, ext_expires_in: lifetime, access_token: token },
  };
}

async function authenticate(form: URLSearchParams, application: Application): Promise<void> {
  const assertion = form.get("client_assertion");
  if (assertion !== null && form.get("client_assertion_type") === assertionType) {
    await checkAssertion(assertion, application);
    return;
  }
  const secret = form.get("client_secret");
  if (secret === null) {
    const message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
    throw new Refusal(401, "invalid_client", 7000218, message);
  }
  if (secret !== application.secret) {
    const message = `Invalid client secret provided for app '${application.clientId}'.`;
    throw new Refusal(401, "invalid_client", 7000215, message);
  }
}

async function checkAssertion(assertion: string, { federatedCredentials = [] }: Application): Promise<void> {
  const { header, claims } = decode(assertion) ?? {};
  if (!header || !claims) throw new Refusal(401, "invalid_client", 50027, "JWT token is invalid or malformed.");
  const credential = match(claims, federatedCredentials);
  const now = Date.now() / 1000;
  const begins = Number(claims.nbf ?? claims.iat) - maximumSkewSeconds;
  if (!(begins <= now && now < Number(claims.exp))) {
    const message = "Client assertion is not within its valid time range.";
    throw new Refusal(401, "invalid_client", 700024, message);
  }
  const keys = await fetchKeys(credential.jwksUri);
  const key = keys.find(({ kid }) => kid === header.kid);
  if (!key || !isSignedWith(assertion, key)) {
    throw new Refusal(401, "invalid_client", 700027, "Client assertion failed signature validation.");
  }
}

/** The credential that fits; else the first thing that does not. Comparisons are case-sensitive, as Entra ID's are. */
function match({ iss, sub, aud }: Claims, credentials: readonly FederatedCredential[]): FederatedCredential {
  const refuse = (code: number, what: string) =>
    new Refusal(
      401,
      "invalid_client",
      code,
      `No matching federated identity record found for presented assertion ${what}. Check your federated identity ` +
        "credential Subject, Audience and Issuer against the presented assertion.",
    );
  const ofIssuer = credentials.filter(({ issuer }) => issuer === iss);
  if (ofIssuer.length === 0) throw refuse(700211, `issuer '${iss}'`);
  const ofSubject = ofIssuer.filter(({ subject }) => subject === sub);
  if (ofSubject.length === 0) throw refuse(700213, `subject '${sub}'`);
  const presented = [aud].flat();
  const found = ofSubject.find(({ audiences = ["api://AzureADTokenExchange"] }) =>
    presented.some((audience) => audiences.includes(String(audience))),
  );
  if (!found) throw refuse(700212, `audience '${presented.join()}'`);
  return found;
}

async function fetchKeys(jwksUri: string): Promise<Jwk[]> {
  try {
    const response = await fetch(jwksUri, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    const { keys } = Object(await response.json());
    if (!Array.isArray(keys)) throw new Error("it has no keys");
    return keys;
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new Refusal(400, "invalid_request", 50166, `Request to External OIDC endpoint failed: ${reason}.`);
  }
}
