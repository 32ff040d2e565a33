// Validates documents by the rules of Cosmos DB: https://learn.microsoft.com/rest/api/cosmos-db/documents
import { Fault } from "./http.ts";
import { isObject, type JsonObject } from "./json.ts";

export interface Document extends JsonObject {
  readonly id: string;
  readonly _rid: string;
  readonly _etag: string;
  readonly _ts: number;
}

/** 68 years, in seconds. */
const maximumTtl = 2_147_483_647;

/** @throws Fault 400 */
export function readDocument(body: unknown): JsonObject & { id: string } {
  const resource = readResource(body);
  if (/[/\\?#]/.test(resource.id) || Buffer.byteLength(resource.id) > 1023) {
    throw new Fault(400, "The id has an illegal character (/ \\ ? #) or more than 1023 bytes.");
  }
  if (!isTtl(resource.ttl)) {
    throw new Fault(400, "The input ttl is invalid. Ensure to provide a nonzero positive integer value, or -1.");
  }
  return resource;
}

/**
 * Reads a resource of any kind: an object with an id.
 * @throws Fault 400
 */
export function readResource(body: unknown): JsonObject & { id: string } {
  if (!isObject(body) || typeof body.id !== "string" || body.id === "") {
    throw new Fault(400, "The input content is invalid because the required properties - 'id; ' - are missing");
  }
  return { ...body, id: body.id };
}

/**
 * True for a missing TTL, -1 (never) and a positive number of seconds.
 * https://learn.microsoft.com/azure/cosmos-db/time-to-live
 */
export function isTtl(ttl: unknown): boolean {
  return ttl === undefined || ttl === -1 || (Number.isInteger(ttl) && Number(ttl) > 0 && Number(ttl) <= maximumTtl);
}
