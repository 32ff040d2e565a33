// Authorizes requests by key or token: https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources
import { createHmac, timingSafeEqual } from "node:crypto";
import { Fault } from "./http.ts";
import { readToken, type Tenant } from "./token.ts";

/** Not a secret: every Cosmos DB emulator has this key. https://learn.microsoft.com/azure/cosmos-db/emulator */
export const emulatorKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";

export interface Access {
  /** The account key, base64. */
  key: string;
  /** Accept only Entra ID tokens. */
  disableLocalAuth: boolean;
  /** undefined = every principal has the role on the account. */
  roleAssignments: readonly RoleAssignment[] | undefined;
  /** The account's host name, one of the audiences that a token may have. */
  hostname: string;
  /** undefined = the account accepts no tokens. */
  tenant: Tenant | undefined;
  now: () => number;
}

/** Gives a principal the role Cosmos DB Built-in Data Contributor. */
export interface RoleAssignment {
  /** Object id. */
  principal: string;
  /** `/`, `/dbs/NAME` or `/dbs/NAME/colls/NAME`. */
  scope: string;
}

interface AuthorizationRequest {
  method: string;
  /** Decoded, e.g. `["dbs", "dapr-db", "colls", "statestore", "docs"]`. */
  segments: readonly string[];
  authorization: string | undefined;
  date: string | undefined;
}

const maximumSkewMs = 15 * 60_000;

/** @throws Fault 401 or 403 when the request is not authorized. */
export function authorize(request: AuthorizationRequest, access: Access): void {
  if (request.authorization === undefined) {
    throw new Fault(401, "Required Header authorization is missing. Ensure a valid Authorization token is passed.", {
      substatus: 5000,
    });
  }
  const { type, signature } = parse(request.authorization);
  if (type === "master") checkKey(request, signature, access);
  else if (type === "aad") checkToken(request, signature, access);
  else throw new Fault(401, "The format of the authorization token is invalid.", { substatus: 5001 });
}

/** Parses `type=master&ver=1.0&sig=…`, percent-encoded. It is no query string: "+" is a plus sign. */
function parse(authorization: string): { type: string; signature: string } {
  const [, type = "", signature = ""] = /^type=(\w+)&ver=1\.0&sig=(.+)$/.exec(decodeURIComponent(authorization)) ?? [];
  return { type, signature };
}

function checkKey({ method, segments, date = "" }: AuthorizationRequest, signature: string, access: Access): void {
  if (access.disableLocalAuth) {
    // Users report this message and substatus (azure-cosmosdb-ads-extension#120, data-api-builder#1939). No
    // documentation says that this check comes before the signature's.
    throw new Fault(401, "Local Authorization is disabled. Use an AAD token to authorize all requests.", {
      substatus: 5202,
    });
  }
  // The resource link of a feed ("…/docs") is its parent's, that of a resource ("…/docs/1") its own.
  const isFeed = segments.length % 2 === 1;
  const type = segments.at(isFeed ? -1 : -2) ?? "";
  const link = (isFeed ? segments.slice(0, -1) : segments).join("/");
  const payload = `${method.toLowerCase()}\n${type}\n${link}\n${date.toLowerCase()}\n\n`;
  const wanted = createHmac("sha256", Buffer.from(access.key, "base64")).update(payload).digest();
  const given = Buffer.from(signature, "base64");
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
    throw new Fault(
      401,
      "The input authorization token can't serve the request. The wrong key is being used or the expected payload " +
        `is not built as per the protocol. Server used the following payload to sign: '${payload}'`,
    );
  }
  if (!(Math.abs(access.now() - Date.parse(date)) <= maximumSkewMs)) {
    throw new Fault(
      403,
      "The authorization token is not valid at the current time. Please create another token and retry " +
        `(token start time: ${date}, current server time: ${new Date(access.now()).toUTCString()}).`,
    );
  }
}

function checkToken({ method, segments }: AuthorizationRequest, token: string, access: Access): void {
  const { oid } = readToken(token, access);
  // On the data plane, no role lets a token create, change or delete databases and containers.
  // https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security
  const isData = segments[4] === "docs";
  if (!isData && method !== "GET") {
    throw new Fault(
      403,
      `Request blocked by Auth simulator : The given request [${method} /${segments.join("/")}] cannot be authorized ` +
        "by AAD token in data plane. Learn more: https://aka.ms/cosmos-native-rbac.",
      { substatus: 5300 },
    );
  }
  if (!hasRole(oid, segments, access)) {
    const action = isData ? "sqlDatabases/containers/items" : "readMetadata";
    throw new Fault(
      403,
      `Request blocked by Auth simulator : Request is blocked because principal [${oid}] does not have required RBAC ` +
        `permissions to perform action [Microsoft.DocumentDB/databaseAccounts/${action}] on resource ` +
        `[/${segments.slice(0, 4).join("/")}]. Learn more: https://aka.ms/cosmos-native-rbac.`,
      { substatus: isData ? 5302 : 5301 },
    );
  }
}

/**
 * A role on a container does not let its principal read the database, nor a role on a database list the databases.
 * Every client reads the account first, so any role lets it.
 * https://learn.microsoft.com/azure/cosmos-db/how-to-setup-rbac#metadata-requests
 */
function hasRole(oid: string, segments: readonly string[], { roleAssignments }: Access): boolean {
  if (roleAssignments === undefined) return true;
  const scopes = roleAssignments.flatMap(({ principal, scope }) => (principal === oid ? [scope] : []));
  if (segments.length === 0) return scopes.length > 0;
  // A list belongs to its parent: /dbs to the account, /dbs/NAME/colls to the database.
  const resource = `/${segments.slice(0, Math.min(4, segments.length - (segments.length % 2))).join("/")}`;
  return scopes.some((scope) => scope === "/" || resource === scope || resource.startsWith(`${scope}/`));
}
