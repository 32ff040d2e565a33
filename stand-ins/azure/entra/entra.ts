// Entra ID: sign-in of users and of applications.
import type { AzureRequest, AzureResponse } from "../http.ts";
import { onAuthorize, onLogout } from "./authorize.ts";
import { issueAppToken } from "./client-credentials.ts";
import type { Directory } from "./directory.ts";
import { EntraError, missing } from "./error.ts";
import { redeemCode, redeemRefreshToken } from "./redeem.ts";

export async function onEntra(request: AzureRequest, directory: Directory): Promise<AzureResponse> {
  const [, tenant = "", path = ""] = /^\/([^/]+)(\/.+)$/.exec(request.url.pathname) ?? [];
  try {
    if (!["/discovery/v2.0/keys", "/discovery/instance"].includes(path)) checkTenant(tenant, directory);
    switch (path) {
      case "/discovery/instance":
        return describeInstance(request);
      case "/v2.0/.well-known/openid-configuration":
        return { status: 200, headers: anyOrigin("GET, OPTIONS"), body: discovery(`${request.url.origin}/${tenant}`) };
      case "/discovery/v2.0/keys":
        return { status: 200, headers: anyOrigin("GET, OPTIONS"), body: directory.tokens.jwks };
      case "/oauth2/v2.0/authorize":
        return onAuthorize(request, directory);
      case "/oauth2/v2.0/token":
        return await onToken(request, directory);
      case "/oauth2/v2.0/logout":
        return onLogout(request, directory);
      default:
        return { status: 404, body: "No such path." };
    }
  } catch (error) {
    if (error instanceof EntraError) return { status: error.status, body: error.body };
    throw error;
  }
}

function checkTenant(tenant: string, { tenantId }: Directory): void {
  if (tenant === tenantId) return;
  const message =
    `Tenant '${tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct ` +
    "cloud.";
  throw new EntraError(400, "invalid_request", 90002, message);
}

/** MSAL asks which host names belong to the cloud, before it sends a secret to one of them. */
function describeInstance({ url }: AzureRequest): AzureResponse {
  const authority = URL.parse(url.searchParams.get("authorization_endpoint") ?? "");
  const [, tenant] = authority?.pathname.split("/") ?? [];
  if (authority?.host !== url.host || !tenant) {
    throw new EntraError(400, "invalid_instance", 50049, "Unknown or invalid instance.");
  }
  const { host, origin } = url;
  return {
    status: 200,
    body: {
      tenant_discovery_endpoint: `${origin}/${tenant}/v2.0/.well-known/openid-configuration`,
      "api-version": "1.1",
      metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
    },
  };
}

function discovery(authority: string) {
  return {
    token_endpoint: `${authority}/oauth2/v2.0/token`,
    token_endpoint_auth_methods_supported: ["client_secret_post", "private_key_jwt"],
    jwks_uri: `${authority}/discovery/v2.0/keys`,
    response_modes_supported: ["query", "fragment"],
    subject_types_supported: ["pairwise"],
    id_token_signing_alg_values_supported: ["RS256"],
    response_types_supported: ["code"],
    scopes_supported: ["openid", "profile", "email", "offline_access"],
    issuer: `${authority}/v2.0`,
    request_uri_parameter_supported: false,
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    http_logout_supported: true,
    end_session_endpoint: `${authority}/oauth2/v2.0/logout`,
    claims_supported: ["sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver"],
  };
}

/** As Entra ID's, the responses can be read by any origin, and no request header is allowed beyond the simple ones. */
function anyOrigin(methods: string): Record<string, string> {
  return { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": methods };
}

async function onToken(request: AzureRequest, directory: Directory): Promise<AzureResponse> {
  const cors = request.headers.origin === undefined ? {} : anyOrigin("POST, OPTIONS");
  const headers = { ...cors, "Cache-Control": "no-store" };
  if (request.method === "OPTIONS") return { status: 200, headers, body: "" };
  try {
    return { ...(await redeem(request, directory)), headers };
  } catch (error) {
    if (error instanceof EntraError) return { status: error.status, headers, body: error.body };
    throw error;
  }
}

async function redeem(request: AzureRequest, directory: Directory): Promise<AzureResponse> {
  const { method, body } = request;
  if (method !== "POST") {
    const message = `The endpoint only accepts POST, OPTIONS requests. Received a ${method} request.`;
    throw new EntraError(400, "invalid_request", 900561, message);
  }
  const form = new URLSearchParams(body);
  const grant = form.get("grant_type");
  switch (grant) {
    case null:
      throw missing("grant_type");
    case "client_credentials":
      return issueAppToken(form, directory);
    case "authorization_code":
      return redeemCode(request, form, directory);
    case "refresh_token":
      return redeemRefreshToken(request, form, directory);
    default: {
      const message = `The app requested an unsupported grant type '${grant}'.`;
      throw new EntraError(400, "unsupported_grant_type", 70003, message);
    }
  }
}
