// Entra ID's sign-in for applications, with client secrets and federated tokens.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
import { randomUUID } from "node:crypto";
import { field } from "../../services/runtime/field.ts";
import type { AzureRequest, AzureResponse } from "./http.ts";
import { type Claims, decode, isSignedWith, type Jwk, type Principal, type Tokens } from "./tokens.ts";

export interface Application extends Principal {
  readonly secret?: string;
  readonly federatedCredentials?: readonly FederatedCredential[];
}

/** Tokens of another issuer that an application may sign in with instead of a secret. */
interface FederatedCredential {
  readonly issuer: string;
  readonly subject: string;
  /** Default: the audience that Entra ID prescribes for federated tokens. */
  readonly audiences?: readonly string[];
  /** URL of the issuer's public keys; the real Entra ID takes it from the issuer's discovery document. */
  readonly jwksUri: string;
}

interface Directory {
  readonly tenantId: string;
  readonly applications: readonly Application[];
  readonly tokens: Tokens;
  /** Resources that tokens are issued for. */
  readonly audiences: readonly string[];
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const maximumSkewSeconds = 300;

/** An OAuth error whose description starts with Entra ID's error number. */
class EntraError extends Error {
  readonly response: AzureResponse;

  constructor(status: number, error: string, code: number, message: string) {
    super(message);
    const trace = randomUUID();
    const timestamp = new Date().toISOString();
    const error_description = `AADSTS${code}: ${message} Trace ID: ${trace} Correlation ID: ${trace} Timestamp: ${timestamp}`;
    this.response = {
      status,
      body: { error, error_description, error_codes: [code], timestamp, trace_id: trace, correlation_id: trace },
    };
  }
}

export async function onEntra(request: AzureRequest, directory: Directory): Promise<AzureResponse> {
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
        return { status: 404, body: "No such path." };
    }
  } catch (error) {
    if (error instanceof EntraError) return error.response;
    throw error;
  }
}

function checkTenant(tenant: string, { tenantId }: Directory): void {
  if (tenant !== tenantId) throw new EntraError(400, "invalid_request", 90002, `Tenant '${tenant}' not found.`);
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

async function issueToken({ method, body }: AzureRequest, directory: Directory): Promise<AzureResponse> {
  const form = new URLSearchParams(body);
  const grant = form.get("grant_type");
  if (method !== "POST" || grant !== "client_credentials") {
    throw new EntraError(
      400,
      "unsupported_grant_type",
      70003,
      `The app requested an unsupported grant type '${grant}'.`,
    );
  }
  const clientId = form.get("client_id");
  const application = directory.applications.find((candidate) => candidate.clientId === clientId);
  if (!application) {
    const message = `Application with identifier '${clientId}' was not found in the directory.`;
    throw new EntraError(400, "unauthorized_client", 700016, message);
  }
  await authenticate(form, application);

  const [, audience] = /^(.+)\/\.default$/.exec(form.get("scope")?.split(" ")[0] ?? "") ?? [];
  if (audience === undefined) {
    throw new EntraError(
      400,
      "invalid_scope",
      1002012,
      "The provided value for scope is not valid: it must end in /.default.",
    );
  }
  if (!directory.audiences.includes(audience)) {
    throw new EntraError(400, "invalid_resource", 500011, `The resource principal named ${audience} was not found.`);
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
    throw new EntraError(401, "invalid_client", 7000218, message);
  }
  if (secret !== application.secret) {
    const message = `Invalid client secret provided for app '${application.clientId}'.`;
    throw new EntraError(401, "invalid_client", 7000215, message);
  }
}

async function checkAssertion(assertion: string, { federatedCredentials = [] }: Application): Promise<void> {
  const { header, claims } = decode(assertion) ?? {};
  if (!header || !claims) throw new EntraError(401, "invalid_client", 50027, "JWT token is invalid or malformed.");
  const credential = match(claims, federatedCredentials);
  const now = Date.now() / 1000;
  const begins = Number(claims.nbf ?? claims.iat) - maximumSkewSeconds;
  if (!(begins <= now && now < Number(claims.exp))) {
    const message = "Client assertion is not within its valid time range.";
    throw new EntraError(401, "invalid_client", 700024, message);
  }
  const keys = await fetchKeys(credential.jwksUri);
  const key = keys.find(({ kid }) => kid === header.kid);
  if (!key || !isSignedWith(assertion, key)) {
    throw new EntraError(401, "invalid_client", 700027, "Client assertion failed signature validation.");
  }
}

/**
 * The credential that matches the assertion.
 * @throws {EntraError} naming the first claim that matches none; comparisons are case-sensitive, as in Entra ID
 */
function match({ iss, sub, aud }: Claims, credentials: readonly FederatedCredential[]): FederatedCredential {
  const reject = (code: number, what: string) =>
    new EntraError(
      401,
      "invalid_client",
      code,
      `No matching federated identity record found for presented assertion ${what}. Check your federated identity ` +
        "credential Subject, Audience and Issuer against the presented assertion.",
    );
  const ofIssuer = credentials.filter(({ issuer }) => issuer === iss);
  if (ofIssuer.length === 0) throw reject(700211, `issuer '${iss}'`);
  const ofSubject = ofIssuer.filter(({ subject }) => subject === sub);
  if (ofSubject.length === 0) throw reject(700213, `subject '${sub}'`);
  const presented = [aud].flat();
  const found = ofSubject.find(({ audiences = ["api://AzureADTokenExchange"] }) =>
    presented.some((audience) => audiences.includes(String(audience))),
  );
  if (!found) throw reject(700212, `audience '${presented.join()}'`);
  return found;
}

async function fetchKeys(jwksUri: string): Promise<Jwk[]> {
  try {
    const response = await fetch(jwksUri, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const keys = field(await response.json(), "keys");
    if (!Array.isArray(keys)) throw new Error("the document has no keys");
    return keys;
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new EntraError(400, "invalid_request", 50166, `Request to External OIDC endpoint failed: ${reason}.`);
  }
}
