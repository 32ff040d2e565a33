// Signs in to an account and classifies its errors.
import { CosmosClient, ErrorResponse } from "@azure/cosmos";
import type { TokenCredential } from "@azure/identity";

export interface Token {
  token: string;
  /** The object id of its owner. */
  principal: string;
}

export function connect(endpoint: string, auth: { key: string } | Token): CosmosClient {
  return new CosmosClient({
    endpoint,
    // With endpoint discovery, the client retries an unreachable account for two minutes.
    connectionPolicy: { enableEndpointDiscovery: false, requestTimeout: 10_000 },
    // The caller passes the token, so the client needs no credential (aadCredentials).
    ...("key" in auth ? { key: auth.key } : { tokenProvider: async () => `type=aad&ver=1.0&sig=${auth.token}` }),
  });
}

/** Gets a token for the scope that Dapr uses; undefined when the credential has none. */
export async function getToken(credential: TokenCredential, endpoint: string): Promise<Token | undefined> {
  const { protocol, hostname } = new URL(endpoint);
  try {
    const token = (await credential.getToken(`${protocol}//${hostname}/.default`))?.token;
    return token === undefined ? undefined : { token, principal: readObjectId(token) };
  } catch {
    return undefined;
  }
}

function readObjectId(token: string): string {
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  return typeof claims === "object" && claims !== null && "oid" in claims ? String(claims.oid) : "PRINCIPAL-ID";
}

export async function exists(read: Promise<unknown>): Promise<boolean> {
  try {
    await read;
    return true;
  } catch (error) {
    if (isStatus(error, 404)) return false;
    throw error;
  }
}

export function isStatus(error: unknown, status: number): error is ErrorResponse {
  return error instanceof ErrorResponse && error.code === status;
}

/** True when the account refused a key because it accepts no keys. */
export function isKeysOff(error: unknown): boolean {
  return (isStatus(error, 401) || isStatus(error, 403)) && error.message.includes("Local Authorization is disabled");
}
