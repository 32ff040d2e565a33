// The directory of the tenant: its applications and users.
import type { Principal, Tokens } from "../tokens.ts";
import { EntraError, missing } from "./error.ts";
import type { Grants } from "./grants.ts";

/** An app registration with its service principal, whose object id is `objectId`. */
export interface Application extends Principal {
  readonly displayName?: string;
  readonly secret?: string;
  readonly federatedCredentials?: readonly FederatedCredential[];
  /** Redirect URIs of the platform "Single-page application". */
  readonly spaRedirectUris?: readonly string[];
  /** Redirect URIs of the platform "Web". */
  readonly webRedirectUris?: readonly string[];
  /** Delegated permissions that it exposes as `api://CLIENT_ID/NAME`. Its access tokens have version 2. */
  readonly exposedScopes?: readonly string[];
}

/** Tokens of another issuer that an application may sign in with instead of a secret. */
export interface FederatedCredential {
  /** URL below which the issuer publishes `.well-known/openid-configuration`. */
  readonly issuer: string;
  readonly subject: string;
  /** Default: the audience that Entra ID prescribes for federated tokens. */
  readonly audiences?: readonly string[];
}

export interface User {
  readonly objectId: string;
  readonly name: string;
  /** The user principal name. */
  readonly username: string;
}

export interface Directory {
  readonly tenantId: string;
  readonly applications: readonly Application[];
  readonly users: readonly User[];
  readonly tokens: Tokens;
  readonly grants: Grants;
  /** Resources that applications get tokens for. */
  readonly audiences: readonly string[];
}

export function findApplication(clientId: string | null, { applications, tenantId }: Directory): Application {
  if (clientId === null) throw missing("client_id");
  const application = applications.find((candidate) => candidate.clientId === clientId.toLowerCase());
  if (application) return application;
  const message =
    `Application with identifier '${clientId}' was not found in the directory '${tenantId}'. This can happen if the ` +
    "application has not been installed by the administrator of the tenant or consented to by any user in the " +
    "tenant. You may have sent your authentication request to the wrong tenant.";
  throw new EntraError(400, "unauthorized_client", 700016, message);
}

/**
 * The type of a redirect URI. The comparison is case-sensitive and ignores the port on loopback; IPv6 loopback is not
 * supported. https://learn.microsoft.com/entra/identity-platform/reply-url#localhost-exceptions
 */
export function redirectType(uri: string, application: Application): "spa" | "web" | undefined {
  const { spaRedirectUris = [], webRedirectUris = [] } = application;
  const wanted = comparable(uri);
  if (wanted === undefined) return undefined;
  if (spaRedirectUris.some((registered) => comparable(registered) === wanted)) return "spa";
  return webRedirectUris.some((registered) => comparable(registered) === wanted) ? "web" : undefined;
}

function comparable(uri: string): string | undefined {
  if (!URL.canParse(uri)) return undefined;
  const url = new URL(uri);
  const isLoopback = url.hostname === "localhost" || url.hostname === "127.0.0.1";
  if (!(url.protocol === "https:" || (url.protocol === "http:" && isLoopback)) || url.hash) return undefined;
  if (isLoopback) url.port = "";
  return url.href;
}

const openIdScopes = new Set(["openid", "profile", "email", "offline_access"]);
/** Microsoft Graph, the resource of scopes that name none. https://learn.microsoft.com/entra/identity-platform/scopes-oidc */
export const graphId = "00000003-0000-0000-c000-000000000000";

export interface Scopes {
  /** Those of OpenID Connect, e.g. `offline_access`. */
  readonly openId: readonly string[];
  /** The API that the access token is for; undefined: Microsoft Graph, whose tokens other services cannot validate. */
  readonly api: Application | undefined;
  /** Names of the API's permissions, e.g. `user_impersonation`. */
  readonly permissions: readonly string[];
}

/** @throws {EntraError} for an unknown API or permission, or for permissions of two APIs */
export function readScopes(scope: string | null, client: Application, directory: Directory): Scopes {
  const all = [...new Set((scope ?? "").split(" ").filter(Boolean))];
  if (all.length === 0) throw missing("scope");
  const openId = all.filter((name) => openIdScopes.has(name));
  const requested = all.filter((name) => !openIdScopes.has(name)).map((name) => readScope(name, directory));
  const [api, ...others] = [...new Set(requested.map((permission) => permission.api))];
  if (others.length > 0) {
    const message =
      "Provided value for the input parameter scope is not valid because it contains more than one resource. " +
      `Scope ${scope} is not valid.`;
    throw new EntraError(400, "invalid_scope", 28000, message);
  }
  for (const { api: { exposedScopes = [] } = {}, permission } of requested) {
    if (exposedScopes.includes(permission)) continue;
    const message =
      `The application '${client.displayName ?? client.clientId}' asked for scope '${permission}' that doesn't exist ` +
      `on the resource '${api?.clientId ?? graphId}'. Contact the app vendor.`;
    throw new EntraError(400, "invalid_client", 650053, message);
  }
  return { openId, api, permissions: requested.map(({ permission }) => permission) };
}

function readScope(scope: string, { applications, tenantId }: Directory) {
  const slash = scope.lastIndexOf("/");
  const permission = scope.slice(slash + 1);
  if (slash === -1) return { api: undefined, permission };
  const resource = scope.slice(0, slash);
  const api = applications.find(({ clientId }) => resource === `api://${clientId}` || resource === clientId);
  if (api?.exposedScopes) return { api, permission };
  const message =
    `The resource principal named ${resource} was not found in the tenant named ${tenantId}. This can happen if the ` +
    "application has not been installed by the administrator of the tenant or consented to by any user in the tenant. " +
    "You might have sent your authentication request to the wrong tenant.";
  throw new EntraError(400, "invalid_resource", 500011, message);
}
