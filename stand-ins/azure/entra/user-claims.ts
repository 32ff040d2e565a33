// The claims of a user's tokens.
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
import { createHash } from "node:crypto";
import { type Application, graphId, type Scopes, type User } from "./directory.ts";

interface SignedIn {
  /** `https://HOST/TENANT` */
  readonly authority: string;
  readonly tenantId: string;
  readonly client: Application;
  readonly user: User;
  readonly scopes: Scopes;
}

/** The claims apart from those of every token, such as `exp`. */
export function userClaims({ authority, tenantId, client, user, scopes: { api, openId, permissions } }: SignedIn) {
  const { objectId: oid } = user;
  const profile = openId.includes("profile") ? { name: user.name, preferred_username: user.username } : {};
  const issuer = `${authority}/v2.0`;
  const idToken = {
    aud: client.clientId,
    iss: issuer,
    sub: pairwise(oid, client.clientId),
    tid: tenantId,
    ver: "2.0",
    ...profile,
    ...(openId.includes("profile") ? { oid } : {}),
  };
  const accessToken = api
    ? {
        aud: api.clientId,
        iss: issuer,
        azp: client.clientId,
        azpacr: "0",
        oid,
        scp: permissions.join(" "),
        sub: pairwise(oid, api.clientId),
        tid: tenantId,
        ver: "2.0",
        ...profile,
      }
    : {
        aud: graphId,
        iss: `https://sts.windows.net/${tenantId}/`,
        appid: client.clientId,
        appidacr: "0",
        oid,
        scp: openId.filter((name) => name !== "offline_access").join(" "),
        sub: pairwise(oid, graphId),
        tid: tenantId,
        ver: "1.0",
      };
  return { idToken, accessToken };
}

/** Two applications get different subjects for one user. */
function pairwise(oid: string, clientId: string): string {
  return createHash("sha256").update(`${clientId} ${oid}`).digest("base64url");
}
