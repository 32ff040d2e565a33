// Checks tokens of Entra ID by the rules for resources that accept them:
// https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens
// The substatus of each fault is from the list in Microsoft's SDK for .NET, whose comment calls it a copy of the
// service's: azure-cosmos-dotnet-v3, SubStatusCodes.cs. The messages are not documented.
import { createPublicKey, verify, type webcrypto } from "node:crypto";
import { Fault } from "./http.ts";
import { isObject, type JsonObject } from "./json.ts";

/** The directory of the account's subscription. */
export interface Tenant {
  readonly id: string;
  /** Public keys, as Entra ID publishes them at `discovery/v2.0/keys`. */
  readonly keys: readonly (webcrypto.JsonWebKey & { readonly kid?: string })[];
}

interface Account {
  readonly hostname: string;
  readonly tenant: Tenant | undefined;
  readonly now: () => number;
}

const allowedSkewMs = 5 * 60_000;

/**
 * Returns the object id of the token's principal.
 * @throws Fault 401
 */
export function readToken(token: string, { tenant, hostname, now }: Account): { oid: string } {
  if (tenant === undefined) throw reject(5002, "The account does not accept AAD tokens.");
  const [header, claims, ...rest] = token.split(".");
  const { alg, kid } = decode(header);
  const { iss, aud, nbf, exp, oid, tid } = decode(claims);

  // Known attacks use the algorithm "none", or HMAC with the public key.
  const key = alg === "RS256" ? tenant.keys.find((candidate) => candidate.kid === kid) : undefined;
  const signature = Buffer.from(rest.join("."), "base64url");
  const isSigned =
    key !== undefined &&
    verify("sha256", Buffer.from(`${header}.${claims}`), createPublicKey({ key, format: "jwk" }), signature);
  if (!isSigned) throw reject(5004, "The signature of the AAD token is invalid.");

  const issuers = [`https://sts.windows.net/${tenant.id}/`, `https://login.microsoftonline.com/${tenant.id}/v2.0`];
  if (tid !== tenant.id || !issuers.includes(String(iss))) throw reject(5007, "The AAD token has an invalid issuer.");
  const audience = URL.parse(String(aud));
  if (audience?.protocol !== "https:" || !["cosmos.azure.com", hostname].includes(audience.hostname)) {
    throw reject(5008, "Provided AAD token audience is invalid.");
  }
  if (!(Number(nbf) * 1000 <= now() + allowedSkewMs)) throw reject(5005, "Provided AAD token is not yet valid.");
  if (!(Number(exp) * 1000 > now())) throw reject(5006, "Provided AAD token has expired.");
  if (typeof oid !== "string") throw reject(5011, "The AAD token has no object identifier.");
  return { oid };
}

/** @throws Fault 401 */
function decode(part = ""): JsonObject {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    if (isObject(value)) return value;
  } catch {
    // no token: rejected below
  }
  throw reject(5003, "The format of the AAD token is invalid.");
}

function reject(substatus: number, message: string): Fault {
  return new Fault(401, message, { substatus });
}
