// Azure Resource Manager's listings of subscriptions and resource groups.
// https://learn.microsoft.com/rest/api/resources/resource-groups/list
import type { AzureRequest, AzureResponse } from "./http.ts";
import { armError, ok } from "./resource-manager-responses.ts";
import type { Tokens } from "./tokens.ts";

export interface Subscription {
  readonly id: string;
  readonly name: string;
  readonly state?: "Enabled" | "Disabled";
  groups: readonly Group[];
}

interface Group {
  readonly name: string;
  readonly location?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly provisioningState?: string;
}

/** Handles every request below a subscription, except the listings. */
export interface ResourceHandler {
  handle(request: AzureRequest, subscription: Subscription): Promise<AzureResponse>;
}

interface ResourceManager {
  readonly tenantId: string;
  readonly tokens: Tokens;
  /** Accepted values of a token's `aud`. */
  readonly audiences: readonly string[];
  readonly subscriptions: readonly Subscription[];
  /** Object ids that have the role Reader on every subscription. Undefined: those of every token. */
  readonly readers: readonly string[] | undefined;
  /** Origin of the links to the next page; undefined: the request's. */
  readonly nextLinkOrigin: string | undefined;
  /** Undefined: such requests get 404. */
  readonly resources: ResourceHandler | undefined;
}

const apiVersions = ["2025-04-01", "2025-03-01", "2024-11-01", "2022-12-01", "2022-09-01", "2021-04-01"];
const pageSize = 500;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function onResourceManager(request: AzureRequest, arm: ResourceManager): AzureResponse | Promise<AzureResponse> {
  const caller = authorize(request, arm);
  return "status" in caller ? caller : route(request, arm, caller.objectId);
}

/** The caller, or an error with Azure's own messages and headers. */
function authorize({ headers }: AzureRequest, arm: ResourceManager): AzureResponse | { objectId: string } {
  const challenge = (parameters: string) => ({
    "WWW-Authenticate": `Bearer authorization_uri="https://login.windows.net/${arm.tenantId}", ${parameters}`,
  });
  const reject = (code: string, message: string): AzureResponse =>
    armError(401, code, message, challenge(`error="invalid_token", error_description="${message}"`));
  const [, token] = /^Bearer (.+)$/.exec(headers.authorization ?? "") ?? [];
  if (token === undefined) {
    return reject("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.");
  }
  const checked = arm.tokens.check(token);
  if (!checked) return reject("InvalidAuthenticationToken", "The access token is invalid.");
  const { claims, isRevoked } = checked;
  if (Number(claims.exp) * 1000 <= Date.now()) {
    return reject("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.");
  }
  if (!arm.audiences.includes(String(claims.aud))) {
    const message = `The access token has been obtained for wrong audience or resource '${claims.aud}'.`;
    return reject("InvalidAuthenticationTokenAudience", message);
  }
  if (!isRevoked) return { objectId: String(claims.oid) };
  // A client that handles claims challenges receives the claims for the next token (Continuous Access Evaluation).
  // https://learn.microsoft.com/entra/identity-platform/claims-challenge
  const message = "The access token has been revoked.";
  if (!claims.xms_cc) return reject("InvalidAuthenticationToken", message);
  const wanted = { access_token: { nbf: { essential: true, value: String(Math.floor(Date.now() / 1000)) } } };
  const encoded = Buffer.from(JSON.stringify(wanted)).toString("base64");
  return armError(
    401,
    "InvalidAuthenticationToken",
    message,
    challenge(`error="insufficient_claims", claims="${encoded}"`),
  );
}

function route(request: AzureRequest, arm: ResourceManager, objectId: string): AzureResponse | Promise<AzureResponse> {
  const { method, url } = request;
  const version = url.searchParams.get("api-version");
  if (!version) {
    const message = "The api-version query parameter (?api-version=) is required for all requests.";
    return armError(400, "MissingApiVersionParameter", message);
  }
  // ARM's paths are not case-sensitive.
  const [subscriptions, id, resourceGroups, ...rest] = url.pathname.toLowerCase().split("/").filter(Boolean);
  const isListing = rest.length === 0 && [undefined, "resourcegroups"].includes(resourceGroups);
  const subscription = arm.subscriptions.find((candidate) => candidate.id.toLowerCase() === id);
  if (!isListing && subscription && arm.resources) return arm.resources.handle(request, subscription);
  if (!apiVersions.includes(version)) {
    const message = `The api-version '${version}' is invalid. The supported versions are '${apiVersions.join(",")}'.`;
    return armError(400, "InvalidApiVersionParameter", message);
  }
  if (subscriptions !== "subscriptions" || !isListing) {
    return armError(404, "InvalidResourceType", "The resource type could not be found.");
  }
  if (method !== "GET") {
    return armError(
      405,
      "HttpMethodNotSupported",
      `The http method '${method}' is not supported for a resource collection.`,
    );
  }
  const mayRead = arm.readers === undefined || arm.readers.includes(objectId);
  if (id === undefined)
    return ok({ value: mayRead ? arm.subscriptions.map(describe) : [], count: count(arm, mayRead) });
  if (!uuid.test(id)) {
    return armError(
      400,
      "InvalidSubscriptionId",
      `The provided subscription identifier '${id}' is malformed or invalid.`,
    );
  }
  if (!subscription) return armError(404, "SubscriptionNotFound", `The subscription '${id}' could not be found.`);
  const action = `Microsoft.Resources/subscriptions/${resourceGroups === undefined ? "" : "resourcegroups/"}read`;
  if (!mayRead) {
    const message =
      `The client '${objectId}' with object id '${objectId}' does not have authorization to perform action '${action}' ` +
      `over scope '/subscriptions/${id}' or the scope is invalid. If access was recently granted, please refresh your ` +
      "credentials.";
    return armError(403, "AuthorizationFailed", message);
  }
  return resourceGroups === undefined ? ok(describe(subscription)) : listGroups(url, subscription, arm);
}

/** One page. The skip token names the last group sent, so groups created or deleted between pages do not shift it. */
function listGroups(url: URL, { id, groups }: Subscription, { nextLinkOrigin }: ResourceManager): AzureResponse {
  const top = Number(url.searchParams.get("$top") ?? pageSize);
  if (!(Number.isInteger(top) && top > 0)) {
    return armError(400, "InvalidQueryParameter", "The value of the query parameter '$top' is invalid.");
  }
  const skipToken = url.searchParams.get("$skiptoken");
  const start = skipToken === null ? 0 : 1 + groups.findIndex(({ name }) => toSkipToken(name) === skipToken);
  if (skipToken !== null && start === 0) {
    return armError(400, "InvalidSkipToken", "The provided skip token is not valid.");
  }
  const page = groups.slice(start, start + Math.min(top, pageSize));
  const last = page.at(-1);
  const value = page.map(({ name, location = "westeurope", tags = {}, provisioningState = "Succeeded" }) => ({
    id: `/subscriptions/${id}/resourceGroups/${name}`,
    name,
    type: "Microsoft.Resources/resourceGroups",
    location,
    tags,
    properties: { provisioningState },
  }));
  if (last === undefined || last === groups.at(-1)) return ok({ value });
  const next = new URL(url);
  next.searchParams.set("$skiptoken", toSkipToken(last.name));
  return ok({ value, nextLink: next.href.replace(next.origin, nextLinkOrigin ?? next.origin) });
}

function toSkipToken(name: string): string {
  return Buffer.from(JSON.stringify({ after: name })).toString("base64url");
}

function count({ subscriptions }: ResourceManager, mayRead: boolean) {
  return { type: "Total", value: mayRead ? subscriptions.length : 0 };
}

function describe({ id, name, state = "Enabled" }: Subscription) {
  return {
    id: `/subscriptions/${id}`,
    authorizationSource: "RoleBased",
    subscriptionId: id,
    displayName: name,
    state,
  };
}
