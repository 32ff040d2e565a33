// Exchanges authorization codes and refresh tokens for tokens.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#redeem-a-code-for-an-access-token
import { createHash } from "node:crypto";
import type { AzureRequest, AzureResponse } from "../http.ts";
import { authenticate } from "./client-credentials.ts";
import { type Application, type Directory, findApplication, readScopes, type Scopes, type User } from "./directory.ts";
import { EntraError, missing } from "./error.ts";
import type { Consent, Store } from "./grants.ts";
import { userClaims } from "./user-claims.ts";

/** Not extended by use, in a single-page app. https://learn.microsoft.com/entra/identity-platform/refresh-tokens */
const refreshTokenLifetimeMs = 86_400_000;

export async function redeemCode(request: AzureRequest, form: URLSearchParams, directory: Directory) {
  const code = await findGrant(request, form, directory, "code", directory.grants.codes);

  const redirectUri = form.get("redirect_uri");
  if (redirectUri !== code.redirectUri) {
    const message =
      `The reply address '${redirectUri}' does not match the reply address '${code.redirectUri}' provided when ` +
      "requesting Authorization code.";
    throw new EntraError(400, "invalid_grant", 500112, message);
  }
  if (Date.now() >= code.expiresAt) {
    const message =
      "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive " +
      "authorization request for this user and resource.";
    throw new EntraError(400, "invalid_grant", 70008, message);
  }
  if (code.isRedeemed) {
    const message =
      "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh " +
      "token.";
    throw new EntraError(400, "invalid_grant", 54005, message);
  }
  checkVerifier(form.get("code_verifier"), code.challenge);
  const scopes = narrow(form.get("scope"), code, directory);
  code.isRedeemed = true;
  const now = Date.now();
  return issue(request, form, { ...code, scopes }, directory, code.nonce, now, now + refreshTokenLifetimeMs);
}

export async function redeemRefreshToken(request: AzureRequest, form: URLSearchParams, directory: Directory) {
  const grant = await findGrant(request, form, directory, "refresh_token", directory.grants.refreshTokens);
  if (Date.now() >= grant.expiresAt) {
    const message =
      "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of " +
      "1.00:00:00, which cannot be extended. It is now expired and a new sign in request must be sent by the SPA to " +
      `the sign in page. The token was issued on ${new Date(grant.issuedAt).toISOString()}.`;
    throw new EntraError(400, "invalid_grant", 700084, message);
  }
  const scopes = narrow(form.get("scope"), grant, directory);
  // As Entra ID, this issues a new refresh token that expires with the first one, and leaves the old one valid.
  return issue(request, form, { ...grant, scopes }, directory, undefined, grant.issuedAt, grant.expiresAt);
}

/** The grant that the parameter `name` stands for, once it is known that the client may redeem it. */
async function findGrant<T extends Consent>(
  request: AzureRequest,
  form: URLSearchParams,
  directory: Directory,
  name: string,
  grants: Store<T>,
): Promise<T> {
  const client = findApplication(form.get("client_id"), directory);
  const secret = form.get(name);
  if (!secret) throw missing(name);
  const grant = grants.find(secret);
  if (!grant) throw new EntraError(400, "invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.");
  await checkClient(request, form, client, grant);
  return grant;
}

/** Checks that the grant was issued to the client and that the client is of the grant's platform. */
async function checkClient(
  { headers: { origin } }: AzureRequest,
  form: URLSearchParams,
  client: Application,
  grant: Consent,
): Promise<void> {
  if (grant.client.clientId !== client.clientId) {
    const message = "Provided grant is invalid or malformed: it was issued to another application.";
    throw new EntraError(400, "invalid_grant", 70000, message);
  }
  if (grant.platform === "web") {
    if (origin !== undefined) {
      const message =
        "Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type. " +
        `Request origin: '${origin}'.`;
      throw new EntraError(400, "invalid_request", 9002326, message);
    }
    return await authenticate(form, client);
  }
  if (origin === undefined) {
    const message =
      "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests.";
    throw new EntraError(400, "invalid_request", 9002327, message);
  }
  if (form.has("client_secret") || form.has("client_assertion")) {
    const message = "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.";
    throw new EntraError(401, "invalid_client", 700025, message);
  }
}

function checkVerifier(verifier: string | null, challenge: string | undefined): void {
  if (challenge === undefined) return;
  if (verifier === null) {
    const message =
      "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE.";
    throw new EntraError(400, "invalid_grant", 50148, message);
  }
  // RFC 7636, section 4.1: 43 to 128 unreserved characters.
  const isWellFormed = /^[\w.~-]{43,128}$/.test(verifier);
  if (!isWellFormed || createHash("sha256").update(verifier).digest("base64url") !== challenge) {
    const message = "The Code_Verifier does not match the code_challenge supplied in the authorization request.";
    throw new EntraError(400, "invalid_grant", 501481, message);
  }
}

/** The scopes that the request names, or those that the user consented to. */
function narrow(scope: string | null, consent: Consent, directory: Directory): Scopes {
  if (scope === null) return consent.scopes;
  const scopes = readScopes(scope, consent.client, directory);
  const { api, permissions } = consent.scopes;
  if (scopes.api === api && scopes.permissions.every((name) => permissions.includes(name))) return scopes;
  const { clientId, displayName = "" } = consent.client;
  const message =
    `The user or administrator has not consented to use the application with ID '${clientId}' named '${displayName}'. ` +
    "Send an interactive authorization request for this user and resource.";
  throw new EntraError(400, "invalid_grant", 65001, message);
}

function issue(
  { url }: AzureRequest,
  form: URLSearchParams,
  consent: Consent,
  directory: Directory,
  nonce: string | undefined,
  issuedAt: number,
  expiresAt: number,
): AzureResponse {
  const { tokens, grants, tenantId } = directory;
  const { client, user, scopes } = consent;
  const { lifetime } = tokens;
  const authority = `${url.origin}/${tenantId}`;
  const claims = userClaims({ authority, tenantId, client, user, scopes });
  const { api, permissions, openId } = scopes;
  return {
    status: 200,
    body: {
      token_type: "Bearer",
      scope: api ? permissions.map((name) => `api://${api.clientId}/${name}`).join(" ") : openId.join(" "),
      expires_in: lifetime,
      ext_expires_in: lifetime,
      access_token: tokens.sign(claims.accessToken).token,
      ...(openId.includes("offline_access")
        ? {
            refresh_token: grants.refreshTokens.add({ ...consent, issuedAt, expiresAt }),
            refresh_token_expires_in: Math.round((expiresAt - Date.now()) / 1000),
          }
        : {}),
      ...(openId.includes("openid") ? { id_token: tokens.sign({ ...claims.idToken, nonce }).token } : {}),
      ...(form.get("client_info") === "1" ? { client_info: clientInfo(user, directory) } : {}),
    },
  };
}

/** The ids of user and tenant in the form that MSAL reads. */
export function clientInfo({ objectId }: User, { tenantId }: Directory): string {
  return Buffer.from(JSON.stringify({ uid: objectId, utid: tenantId })).toString("base64url");
}
