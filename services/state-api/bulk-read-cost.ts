import { field } from "../runtime/field.ts";
import { type Call, StoreError } from "./store.ts";

/**
 * Remembers whether one bulk read of the component costs less than a read for each key. Cosmos DB serves a bulk read by
 * a query over all partitions, which costs more than a point read for each key.
 * @param readMetadata returns the text of the sidecar's metadata
 */
export function createBulkReadCost(storeName: string, readMetadata: (call: Call) => Promise<string>) {
  let cheap: Promise<boolean> | undefined;

  const lookUp = async (call: Call) => isCheap(await readMetadata(call), storeName);

  return {
    /** False while it is unknown. Never rejects. */
    isLow(call: Call): Promise<boolean> {
      cheap ??= lookUp(call).catch((error) => {
        // The sidecar's Configuration may exclude the metadata API: do not retry. After any other error, retry.
        if (!(error instanceof StoreError && error.kind === "refused")) cheap = undefined;
        return false; // single reads work with every component, and report the fault if there is one
      });
      return cheap;
    },
    /** Makes the next `isLow` query the sidecar. */
    forget(): void {
      cheap = undefined;
    },
  };
}

/** False for metadata that does not describe the component. */
function isCheap(metadata: string, storeName: string): boolean {
  let components: unknown;
  try {
    components = field(JSON.parse(metadata), "components");
  } catch {
    return false;
  }
  const component = Array.isArray(components)
    ? components.find((item) => field(item, "name") === storeName)
    : undefined;
  const type = field(component, "type");
  return typeof type === "string" && type !== "state.azure.cosmosdb";
}
