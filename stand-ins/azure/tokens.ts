// Access tokens in Entra ID's format: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify, type webcrypto } from "node:crypto";

export type Jwk = webcrypto.JsonWebKey & { readonly kid?: string };

/** The owner of a token: an application or a managed identity. */
export interface Principal {
  readonly clientId: string;
  readonly objectId: string;
}

interface TokenOptions {
  readonly audience: string;
  /** The client has declared that it handles claims challenges. */
  readonly continuousAccess?: boolean;
}

interface Token {
  readonly token: string;
  /** Seconds since 1970. */
  readonly expiresOn: number;
}

/** Claims of any type: a token signed by others can contain anything. */
export type Claims = Readonly<Record<string, unknown>>;

export interface Tokens {
  /** Signs `claims`, to which it adds the id and the times of a new token; `claims` take precedence. */
  sign(claims: Claims): Token;
  /** Issues an application's token, in version 1.0. */
  issue(principal: Principal, options: TokenOptions): Token;
  /** The claims of a token that this stand-in signed, even if it expired or was revoked; undefined for any other. */
  check(token: string): { claims: Claims; isRevoked: boolean } | undefined;
  revokeAll(): void;
  readonly jwks: { readonly keys: readonly Jwk[] };
  /** Lifetime of new tokens in seconds; Entra ID's is an hour or more. */
  lifetime: number;
}

/** @param key PEM. Tokens stay valid across restarts with the same key. */
export function createTokens(key: string, tenantId: string): Tokens {
  const privateKey = createPrivateKey(key);
  const publicKey = createPublicKey(privateKey);
  const jwk = publicKey.export({ format: "jwk" });
  const kid = createHash("sha256").update(String(jwk.n)).digest("base64url");
  // The first characters of every token's id since the last revocation. A set of all ids would grow without bound.
  let generation = newId(6);
  const revoked = new Set<string>();

  const tokens: Tokens = {
    lifetime: 3_600,
    jwks: { keys: [{ ...jwk, kid, use: "sig" }] },
    sign(claims) {
      const now = Math.floor(Date.now() / 1000);
      const expiresOn = now + tokens.lifetime;
      const all = { iat: now, nbf: now, exp: expiresOn, uti: generation + newId(12), ...claims };
      const content = `${encode({ typ: "JWT", alg: "RS256", kid })}.${encode(all)}`;
      return {
        token: `${content}.${sign("sha256", Buffer.from(content), privateKey).toString("base64url")}`,
        expiresOn,
      };
    },
    issue({ clientId, objectId }, { audience, continuousAccess = false }) {
      return tokens.sign({
        aud: audience,
        iss: `https://sts.windows.net/${tenantId}/`,
        appid: clientId,
        idtyp: "app",
        oid: objectId,
        sub: objectId,
        tid: tenantId,
        ver: "1.0",
        ...(continuousAccess ? { xms_cc: ["CP1"] } : {}),
      });
    },
    check(token) {
      const claims = isSignedWith(token, jwk) ? decode(token)?.claims : undefined;
      return claims && { claims, isRevoked: revoked.has(String(claims.uti).slice(0, generation.length)) };
    },
    revokeAll() {
      revoked.add(generation);
      generation = newId(6);
    },
  };
  return tokens;
}

/** Header and claims of a JWT, without a check of its signature; undefined for any other text. */
export function decode(token: string): { header: Claims; claims: Claims } | undefined {
  const [header, claims] = token.split(".", 2).map(decodePart);
  return header && claims ? { header, claims } : undefined;
}

function decodePart(part: string): Claims | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return isClaims(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isClaims(value: unknown): value is Claims {
  return typeof value === "object" && value !== null;
}

export function isSignedWith(token: string, key: Jwk): boolean {
  // Known attacks use alg "none", or HMAC with the public key.
  if (decode(token)?.header.alg !== "RS256") return false;
  const end = token.lastIndexOf(".");
  const signature = Buffer.from(token.slice(end + 1), "base64url");
  return verify("sha256", Buffer.from(token.slice(0, end)), createPublicKey({ key, format: "jwk" }), signature);
}

function newId(bytes: number): string {
  return randomBytes(bytes).toString("base64url");
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
