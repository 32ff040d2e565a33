// The page that users sign in on: the authorization endpoint, and the end of a session.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#send-a-sign-out-request
import type { AzureRequest, AzureResponse } from "../http.ts";
import {
  type Application,
  type Directory,
  findApplication,
  readScopes,
  redirectType,
  type Scopes,
} from "./directory.ts";
import { EntraError, missing } from "./error.ts";
import { clientInfo } from "./redeem.ts";
import { cancelled, choice, errorPage, signedOutPage, signInPage } from "./sign-in-page.ts";

/** Entra ID's authorization codes expire after about 10 minutes. */
const codeLifetimeMs = 600_000;

/** Where the response goes, once it is known that the redirect URI belongs to the application. */
interface Target {
  readonly client: Application;
  readonly redirectUri: string;
  readonly platform: "spa" | "web";
  readonly mode: string;
  readonly state: string | null;
}

export function onAuthorize(request: AzureRequest, directory: Directory): AzureResponse {
  const { method, url, body } = request;
  // Parameters may come in the query or, from a form, in the body.
  const parameters = new URLSearchParams([
    ...url.searchParams,
    ...(method === "POST" ? new URLSearchParams(body) : []),
  ]);
  let target: Target;
  try {
    target = readTarget(parameters, directory);
  } catch (error) {
    // An error must not go to an address that the application has not registered.
    if (error instanceof EntraError) return errorPage(error);
    throw error;
  }
  try {
    return signIn(parameters, target, directory);
  } catch (error) {
    if (!(error instanceof EntraError)) throw error;
    const { error: name, error_description, error_codes } = error.body;
    return redirect(target, {
      error: name,
      error_description,
      error_uri: `${url.origin}/error?code=${error_codes[0]}`,
    });
  }
}

function readTarget(parameters: URLSearchParams, directory: Directory): Target {
  const client = findApplication(parameters.get("client_id"), directory);
  const redirectUri = parameters.get("redirect_uri") ?? "";
  const platform = redirectType(redirectUri, client);
  if (platform === undefined) {
    const message =
      `The redirect URI '${redirectUri}' specified in the request does not match the redirect URIs configured for the ` +
      `application '${client.clientId}'. Make sure the redirect URI sent in the request matches one added to your ` +
      "application in the Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about how to " +
      "troubleshoot this error.";
    throw new EntraError(400, "invalid_request", 50011, message);
  }
  const mode = parameters.get("response_mode") ?? "query";
  if (mode !== "query" && mode !== "fragment") {
    const message = `The stand-in supports the response modes 'query' and 'fragment', not '${mode}'.`;
    throw new EntraError(400, "unsupported_response_mode", 70007, message);
  }
  return { client, redirectUri, platform, mode, state: parameters.get("state") };
}

function signIn(parameters: URLSearchParams, target: Target, directory: Directory): AzureResponse {
  const { client, platform, redirectUri } = target;
  const responseType = parameters.get("response_type");
  if (responseType === null) throw missing("response_type");
  if (responseType !== "code") {
    const message = `response_type '${responseType}' is not enabled for the application.`;
    throw new EntraError(400, "unsupported_response_type", 700054, message);
  }
  const challenge = readChallenge(parameters, platform);
  const scopes = readScopes(parameters.get("scope"), client, directory);
  if (parameters.get("prompt") === "none") {
    // The stand-in keeps no sessions, so that every sign-in shows the users to choose from.
    const message = "A silent sign-in request was sent but no user is signed in.";
    throw new EntraError(400, "login_required", 50058, message);
  }
  const chosen = parameters.get(choice);
  if (chosen === null) return signInPage(parameters, client, scopeNames(scopes), directory.users);
  if (chosen === cancelled) {
    throw new EntraError(400, "access_denied", 65004, "User declined to consent to access the app.");
  }
  const user = directory.users.find(({ objectId }) => objectId === chosen);
  if (!user) {
    const message = `The user account ${chosen} does not exist in the ${directory.tenantId} directory.`;
    throw new EntraError(400, "invalid_request", 50034, message);
  }
  const code = directory.grants.codes.add({
    client,
    user,
    scopes,
    platform,
    redirectUri,
    challenge,
    nonce: parameters.get("nonce") ?? undefined,
    expiresAt: Date.now() + codeLifetimeMs,
    isRedeemed: false,
  });
  const info = parameters.get("client_info") === "1" ? { client_info: clientInfo(user, directory) } : {};
  return redirect(target, { code, ...info });
}

/** The S256 challenge. Entra ID also accepts `plain` from web apps; no client of the stand-in needs it. */
function readChallenge(parameters: URLSearchParams, platform: "spa" | "web"): string | undefined {
  const challenge = parameters.get("code_challenge");
  if (challenge === null) {
    if (platform === "web") return undefined;
    const message = "Proof Key for Code Exchange is required for cross-origin authorization code redemption.";
    throw new EntraError(400, "invalid_request", 9002325, message);
  }
  if (parameters.get("code_challenge_method") !== "S256") {
    throw new EntraError(400, "invalid_request", 50149, "Invalid Code_Challenge_method parameter.");
  }
  // A SHA-256 in base64url has 43 characters.
  if (!/^[\w-]{43}$/.test(challenge)) {
    throw new EntraError(400, "invalid_request", 501491, "Invalid size of Code_Challenge parameter.");
  }
  return challenge;
}

function scopeNames({ openId, permissions, api }: Scopes): string[] {
  return [...openId, ...permissions.map((name) => `${api?.displayName ?? "Microsoft Graph"}: ${name}`)];
}

function redirect({ redirectUri, mode, state }: Target, fields: Readonly<Record<string, string>>): AzureResponse {
  const response = new URLSearchParams({ ...fields, ...(state === null ? {} : { state }) });
  const location = new URL(redirectUri);
  if (mode === "fragment") location.hash = response.toString();
  else for (const [name, value] of response) location.searchParams.append(name, value);
  return { status: 302, headers: { Location: location.href, "Cache-Control": "no-store" }, body: "" };
}

/** Redirects to the address in the request only if an application has registered it. */
export function onLogout({ url }: AzureRequest, { applications }: Directory): AzureResponse {
  const wanted = url.searchParams.get("post_logout_redirect_uri");
  if (wanted === null || !applications.some((application) => redirectType(wanted, application))) return signedOutPage();
  const location = new URL(wanted);
  const state = url.searchParams.get("state");
  if (state !== null) location.searchParams.set("state", state);
  return { status: 302, headers: { Location: location.href, "Cache-Control": "no-store" }, body: "" };
}
