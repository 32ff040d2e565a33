// Sign-in of applications, with client secrets and federated tokens.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
import { field } from "../../../services/runtime/field.ts";
import type { AzureResponse } from "../http.ts";
import { type Claims, decode, isSignedWith, type Jwk } from "../tokens.ts";
import { type Application, type Directory, type FederatedCredential, findApplication } from "./directory.ts";
import { EntraError } from "./error.ts";

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const maximumSkewSeconds = 300;

export async function issueAppToken(form: URLSearchParams, directory: Directory): Promise<AzureResponse> {
  const application = findApplication(form.get("client_id"), directory);
  await authenticate(form, application);

  const [, audience] = /^(.+)\/\.default$/.exec(form.get("scope")?.split(" ")[0] ?? "") ?? [];
  if (audience === undefined) {
    const message = "The provided value for scope is not valid: it must end in /.default.";
    throw new EntraError(400, "invalid_scope", 1002012, message);
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

export async function authenticate(form: URLSearchParams, application: Application): Promise<void> {
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
  const keys = await fetchKeys(credential.issuer);
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

/** The public keys of an issuer, which its discovery document points to. Both must be on https, or on loopback. */
async function fetchKeys(issuer: string): Promise<Jwk[]> {
  const signal = AbortSignal.timeout(5_000);
  const get = async (address: string): Promise<unknown> => {
    const { protocol, hostname } = new URL(address);
    if (protocol !== "https:" && hostname !== "127.0.0.1") throw new Error(`${address} is not an https URL`);
    const response = await fetch(address, { signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return response.json();
  };
  try {
    const discovery = await get(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
    if (field(discovery, "issuer") !== issuer) throw new Error(`the discovery document is not that of ${issuer}`);
    const keys = field(await get(String(field(discovery, "jwks_uri"))), "keys");
    if (!Array.isArray(keys)) throw new Error("the document has no keys");
    return keys;
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new EntraError(400, "invalid_request", 50166, `Request to External OIDC endpoint failed: ${reason}.`);
  }
}
