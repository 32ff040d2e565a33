// The part of Azure Resource Manager that lists subscriptions and resource groups.
// https://learn.microsoft.com/rest/api/resources/resource-groups/list
import { randomUUID } from "node:crypto";
import type { Answer, Request } from "./http.ts";
import type { Tokens } from "./tokens.ts";

export interface Subscription {
  readonly id: string;
  readonly name: string;
  readonly state?: "Enabled" | "Disabled";
  groups: readonly Group[];
}

export interface Group {
  readonly name: string;
  readonly location?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly provisioningState?: string;
}

export interface ResourceManager {
  readonly tenantId: string;
  readonly tokens: Tokens;
  /** What a token's `aud` may be. */
  readonly audiences: readonly string[];
  readonly subscriptions: readonly Subscription[];
  /** Object ids that hold the role Reader on every subscription. Default: every token's. */
  readonly readers: readonly string[] | undefined;
  /** Where links to the next page point; default: here. */
  readonly nextLinkOrigin: string | undefined;
  /** Answers what is below a subscription but the listings; default: there is nothing. */
  readonly resources: { answer(request: Request, subscription: Subscription): Promise<Answer> } | undefined;
}

const apiVersions = ["2025-04-01", "2025-03-01", "2024-11-01", "2022-12-01", "2022-09-01", "2021-04-01"];
const pageSize = 500;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function onResourceManager(request: Request, arm: ResourceManager): Answer | Promise<Answer> {
  const answer = authorize(request, arm);
  return "status" in answer ? answer : route(request, arm, answer.objectId);
}

/** Messages and headers as Azure has them; the signature and the tenant are what a token is known by. */
function authorize({ headers }: Request, arm: ResourceManager): Answer | { objectId: string } {
  const challenge = (parameters: string) => ({
    "WWW-Authenticate": `Bearer authorization_uri="https://login.windows.net/${arm.tenantId}", ${parameters}`,
  });
  const refuse = (code: string, message: string): Answer =>
    refusal(401, code, message, challenge(`error="invalid_token", error_description="${message}"`));
  const [, token] = /^Bearer (.+)$/.exec(headers.authorization ?? "") ?? [];
  if (token === undefined) {
    return refuse("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.");
  }
  const checked = arm.tokens.check(token);
  if (!checked) return refuse("InvalidAuthenticationToken", "The access token is invalid.");
  const { claims, isRevoked } = checked;
  if (Number(claims.exp) * 1000 <= Date.now()) {
    return refuse("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.");
  }
  if (!arm.audiences.includes(String(claims.aud))) {
    const message = `The access token has been obtained for wrong audience or resource '${claims.aud}'.`;
    return refuse("InvalidAuthenticationTokenAudience", message);
  }
  if (!isRevoked) return { objectId: String(claims.oid) };
  // Who said that it understands claims challenges is told how to get a better token (Continuous Access Evaluation).
  // https://learn.microsoft.com/entra/identity-platform/claims-challenge
  const message = "The access token has been revoked.";
  if (!claims.xms_cc) return refuse("InvalidAuthenticationToken", message);
  const wanted = { access_token: { nbf: { essential: true, value: String(Math.floor(Date.now() / 1000)) } } };
  const encoded = Buffer.from(JSON.stringify(wanted)).toString("base64");
  return refusal(
    401,
    "InvalidAuthenticationToken",
    message,
    challenge(`error="insufficient_claims", claims="${encoded}"`),
  );
}

function route(request: Request, arm: ResourceManager, objectId: string): Answer | Promise<Answer> {
  const { method, url } = request;
  const version = url.searchParams.get("api-version");
  if (!version) {
    const message = "The api-version query parameter (?api-version=) is required for all requests.";
    return refusal(400, "MissingApiVersionParameter", message);
  }
  // ARM's paths are not case-sensitive.
  const [subscriptions, id, resourceGroups, ...rest] = url.pathname.toLowerCase().split("/").filter(Boolean);
  const isListing = rest.length === 0 && [undefined, "resourcegroups"].includes(resourceGroups);
  const subscription = arm.subscriptions.find((candidate) => candidate.id.toLowerCase() === id);
  if (!isListing && subscription && arm.resources) return arm.resources.answer(request, subscription);
  if (!apiVersions.includes(version)) {
    const message = `The api-version '${version}' is invalid. The supported versions are '${apiVersions.join(",")}'.`;
    return refusal(400, "InvalidApiVersionParameter", message);
  }
  if (subscriptions !== "subscriptions" || !isListing) {
    return refusal(404, "InvalidResourceType", "The resource type could not be found.");
  }
  if (method !== "GET") {
    return refusal(
      405,
      "HttpMethodNotSupported",
      `The http method '${method}' is not supported for a resource collection.`,
    );
  }
  const mayRead = arm.readers === undefined || arm.readers.includes(objectId);
  if (id === undefined)
    return ok({ value: mayRead ? arm.subscriptions.map(describe) : [], count: count(arm, mayRead) });
  if (!uuid.test(id)) {
    return refusal(
      400,
      "InvalidSubscriptionId",
      `The provided subscription identifier '${id}' is malformed or invalid.`,
    );
  }
  if (!subscription) return refusal(404, "SubscriptionNotFound", `The subscription '${id}' could not be found.`);
  const action = `Microsoft.Resources/subscriptions/${resourceGroups === undefined ? "" : "resourcegroups/"}read`;
  if (!mayRead) {
    const message =
      `The client '${objectId}' with object id '${objectId}' does not have authorization to perform action '${action}' ` +
      `over scope '/subscriptions/${id}' or the scope is invalid. If access was recently granted, please refresh your ` +
      "credentials.";
    return refusal(403, "AuthorizationFailed", message);
  }
  return resourceGroups === undefined ? ok(describe(subscription)) : listGroups(url, subscription, arm);
}

/** One page. A skip token names the last group that the client has, whatever comes and goes meanwhile. */
function listGroups(url: URL, { id, groups }: Subscription, { nextLinkOrigin }: ResourceManager): Answer {
  const top = Number(url.searchParams.get("$top") ?? pageSize);
  if (!(Number.isInteger(top) && top > 0)) {
    return refusal(400, "InvalidQueryParameter", "The value of the query parameter '$top' is invalid.");
  }
  const skipToken = url.searchParams.get("$skiptoken");
  const start = skipToken === null ? 0 : 1 + groups.findIndex(({ name }) => toSkipToken(name) === skipToken);
  if (skipToken !== null && start === 0) {
    return refusal(400, "InvalidSkipToken", "The provided skip token is not valid.");
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

export function ok(body: unknown): Answer {
  return { status: 200, body, headers: everyAnswer() };
}

/** ARM's error body: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors */
export function refusal(status: number, code: string, message: string, headers: Record<string, string> = {}): Answer {
  return { status, body: { error: { code, message } }, headers: { ...everyAnswer(), ...headers } };
}

/** Whoever passes these groups on can say that they are made up. */
function everyAnswer(): Record<string, string> {
  return { "Sample-Data": "azure-stand-in", "x-ms-request-id": randomUUID() };
}
