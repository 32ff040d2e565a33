// How the state API of @dapr/dapr represents entries and writes.
import { fromStored, toStored } from "./exact-numbers.ts";
import type { SdkCall } from "./sdk-transport.ts";
import { type Entry, partitionOf, StoreError, type Write } from "./store.ts";
import { summarize } from "./store-failure.ts";

export function itemOf({ key, value, ttlInSeconds }: Write) {
  const ttl = ttlInSeconds === undefined ? {} : { ttlInSeconds: String(ttlInSeconds) };
  return { key, value: toStored(value), metadata: { ...partitionMetadata(key), ...ttl } };
}

/** Without `partitionKey`, Dapr writes the key to a partition of its own: https://docs.dapr.io/reference/components-reference/supported-state-stores/setup-azure-cosmosdb/ */
export function partitionMetadata(key: string): { partitionKey?: string } {
  const partition = partitionOf(key);
  return partition === undefined ? {} : { partitionKey: partition };
}

export function consistencyOf({ consistency }: Write, { StateConsistencyEnum }: SdkCall["sdk"]) {
  switch (consistency) {
    case "strong":
      return StateConsistencyEnum.CONSISTENCY_STRONG;
    case "eventual":
      return StateConsistencyEnum.CONSISTENCY_EVENTUAL;
    default:
      return StateConsistencyEnum.CONSISTENCY_UNSPECIFIED;
  }
}

/** @throws {StoreError} when the store failed for this key alone */
export function entryOf(item: { [key: string]: unknown }): Entry | undefined {
  if (typeof item.error === "string") throw new StoreError("refused", summarize(item.error));
  return "data" in item ? toEntry(item.data, item.etag) : undefined;
}

/** Encodes the ETag, because Cosmos DB's contain quotes, which an HTTP ETag cannot. */
export function toEntry(stored: unknown, etag: unknown): Entry {
  return { value: fromStored(stored), etag: encodeURIComponent(String(etag)) };
}
