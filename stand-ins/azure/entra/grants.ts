// Authorization codes and refresh tokens. They live in memory, so a restart invalidates them.
import { randomBytes } from "node:crypto";
import type { Application, Scopes, User } from "./directory.ts";

/** What a user has allowed an application to do. */
export interface Consent {
  readonly client: Application;
  readonly user: User;
  readonly scopes: Scopes;
  /** The user came back by a redirect URI of this type. */
  readonly platform: "spa" | "web";
}

interface Code extends Consent {
  readonly redirectUri: string;
  readonly challenge: string | undefined;
  readonly nonce: string | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  isRedeemed: boolean;
}

interface RefreshToken extends Consent {
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface Grants {
  readonly codes: Store<Code>;
  readonly refreshTokens: Store<RefreshToken>;
}

export interface Store<T> {
  /** Returns the secret that stands for `grant`. */
  add(grant: T): string;
  find(secret: string): T | undefined;
}

/** Beyond this number, the oldest grants are forgotten, so that memory stays bounded. */
const maximum = 1_000;

export function createGrants(): Grants {
  return { codes: createStore<Code>("0."), refreshTokens: createStore<RefreshToken>("1.") };
}

/** @param prefix The first characters of the secrets, as those of Entra ID. */
function createStore<T>(prefix: string): Store<T> {
  const grants = new Map<string, T>();
  return {
    add(grant) {
      const secret = `${prefix}${randomBytes(48).toString("base64url")}`;
      grants.set(secret, grant);
      const [oldest] = grants.keys();
      if (grants.size > maximum && oldest !== undefined) grants.delete(oldest);
      return secret;
    },
    find: (secret) => grants.get(secret),
  };
}
