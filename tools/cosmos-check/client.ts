// Connects to an account, signs in to it and classifies its errors.
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { CosmosClient, ErrorResponse } from "@azure/cosmos";
import type { TokenCredential } from "@azure/identity";

export interface Token {
  token: string;
  /** The object id of its owner. */
  principal: string;
}

/**
 * Opens a connection and closes it. Rejects after 1.3 s: a name that does not exist, or a firewall that drops packets,
 * shows sooner in this way than in a request, which has to wait for an account that is far away.
 */
export async function probe(endpoint: string): Promise<void> {
  const { protocol, hostname, port } = new URL(endpoint);
  const host = hostname.replace(/^\[(.+)\]$/, "$1");
  const socket = connectSocket({ host, port: Number(port || (protocol === "https:" ? 443 : 80)) });
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(1_300) });
  } finally {
    socket.destroy();
  }
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

/** True when a token's owner has no role for the request: 5301 for metadata, 5302 for data.
 *  https://learn.microsoft.com/azure/cosmos-db/nosql/troubleshoot-forbidden */
export function isMissingRole(error: unknown): boolean {
  return isStatus(error, 403) && (error.substatus === 5301 || error.substatus === 5302);
}

/** True when the account refused a key because it accepts no keys. */
export function isKeysOff(error: unknown): boolean {
  return (isStatus(error, 401) || isStatus(error, 403)) && error.message.includes("Local Authorization is disabled");
}
