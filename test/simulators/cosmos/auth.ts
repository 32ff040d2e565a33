// Who may do what: https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources
import { createHmac, timingSafeEqual } from "node:crypto";
import { Fault } from "./http.ts";

export interface Access {
  /** The account key, base64. */
  key: string;
  /** Accept no keys, Entra ID only. */
  disableLocalAuth: boolean;
  /** Object ids that hold the data contributor role; undefined = everyone. */
  principals: readonly string[] | undefined;
  /** The account's own host name: one of the audiences a token may have. */
  hostname: string;
  now: () => number;
}

export interface Request {
  method: string;
  /** Decoded, e.g. `["dbs", "dapr-db", "colls", "statestore", "docs"]`. */
  segments: readonly string[];
  authorization: string | undefined;
  date: string | undefined;
}

const maximumSkewMs = 15 * 60_000;

/** Throws a Fault when the request may not do what it asks for. */
export function authorize(request: Request, access: Access): void {
  if (request.authorization === undefined) {
    throw new Fault(401, "Required Header authorization is missing. Ensure a valid Authorization token is passed.", {
      substatus: 5200,
    });
  }
  const { type, signature } = parse(request.authorization);
  if (type === "master") checkKey(request, signature, access);
  else if (type === "aad") checkToken(request, signature, access);
  else throw new Fault(401, "The format of the authorization token is invalid.", { substatus: 5201 });
}

/** `type=master&ver=1.0&sig=…`, percent-encoded. Not a query string: "+" stands for itself. */
function parse(authorization: string): { type: string; signature: string } {
  const [, type = "", signature = ""] = /^type=(\w+)&ver=1\.0&sig=(.+)$/.exec(decodeURIComponent(authorization)) ?? [];
  return { type, signature };
}

function checkKey({ method, segments, date = "" }: Request, signature: string, access: Access): void {
  if (access.disableLocalAuth) {
    // Message and substatus as users report them (azure-cosmosdb-ads-extension#120, data-api-builder#1939).
    // That it comes before the signature is looked at is not documented.
    throw new Fault(401, "Local Authorization is disabled. Use an AAD token to authorize all requests.", {
      substatus: 5202,
    });
  }
  // An id is followed by its own resource ("docs/1"), a feed is not ("docs"): the link of a feed is its parent's.
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

/** The signature of the token is not checked: there is no issuer here. */
function checkToken({ method, segments }: Request, token: string, access: Access): void {
  const { aud, exp, oid } = readClaims(token);
  const audience = URL.parse(aud)?.hostname;
  if (audience !== "cosmos.azure.com" && audience !== access.hostname) {
    throw new Fault(401, "Provided AAD token audience is invalid.");
  }
  if (exp * 1000 <= access.now()) throw new Fault(401, "Provided AAD token has expired.", { substatus: 5003 });

  // The data plane lets no token create, change or delete databases and containers, whatever its roles.
  // https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security
  const isData = segments[4] === "docs";
  if (!isData && method !== "GET") {
    throw new Fault(
      403,
      `Request blocked by Auth stand-in : The given request [${method} /${segments.join("/")}] cannot be authorized ` +
        "by AAD token in data plane. Learn more: https://aka.ms/cosmos-native-rbac.",
      { substatus: 5300 },
    );
  }
  if (access.principals !== undefined && !access.principals.includes(oid)) {
    const action = isData ? "sqlDatabases/containers/items" : "readMetadata";
    throw new Fault(
      403,
      `Request blocked by Auth stand-in : Request is blocked because principal [${oid}] does not have required RBAC ` +
        `permissions to perform action [Microsoft.DocumentDB/databaseAccounts/${action}] on resource ` +
        `[/${segments.slice(0, 4).join("/")}]. Learn more: https://aka.ms/cosmos-native-rbac.`,
      { substatus: isData ? 5302 : 5301 },
    );
  }
}

/** What a token of Entra ID looks like to checkToken; `exp` in seconds. */
export function unsignedToken(claims: { aud: string; exp: number; oid: string }): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  return `${encode({ alg: "none" })}.${encode(claims)}.`;
}

function readClaims(token: string): { aud: string; exp: number; oid: string } {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    if (
      typeof claims === "object" &&
      claims !== null &&
      "aud" in claims &&
      typeof claims.aud === "string" &&
      "exp" in claims &&
      typeof claims.exp === "number" &&
      "oid" in claims &&
      typeof claims.oid === "string"
    ) {
      return { aud: claims.aud, exp: claims.exp, oid: claims.oid };
    }
  } catch {
    // not a token: refused below
  }
  throw new Fault(401, "The format of the AAD token is invalid.", { substatus: 5201 });
}
