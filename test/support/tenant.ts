import { generateKeyPairSync } from "node:crypto";
import { type Claims, createTokens } from "../../stand-ins/azure/tokens.ts";
import type { Tenant } from "../simulators/cosmos/token.ts";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const id = "00000000-5a4d-4b1e-8000-00000000000b";
const tokens = createTokens(privateKey.export({ type: "pkcs8", format: "pem" }).toString(), id);

/** A directory of this test file, whose key only this process has. */
export const tenant: Tenant = { id, keys: tokens.jwks.keys };

/** A token of `tenant` for Cosmos DB. Its principal has the object id `oid`; `claims` replaces claims. */
export function signToken(oid: string, claims: Claims = {}): string {
  const own = { iss: `https://sts.windows.net/${id}/`, tid: id, aud: "https://cosmos.azure.com", oid };
  return tokens.sign({ ...own, ...claims }).token;
}
