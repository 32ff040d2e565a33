import { type Call, StoreError } from "./store.ts";

/**
 * Remembers whether one bulk read of the component costs less than a read for each key. Cosmos DB serves a bulk read by a
 * query over all partitions, which costs more than a point read for each key.
 * @param readMetadata returns the text of the sidecar's metadata
 */
export function createBulkReadCost(storeName: string, readMetadata: (call: Call) => Promise<string>) {
  let cheap: Promise<boolean> | undefined;

  async function lookUp(call: Call): Promise<boolean> {
    const { components = [] }: { components?: { name: string; type: string }[] } = JSON.parse(await readMetadata(call));
    const component = components.find(({ name }) => name === storeName);
    return component !== undefined && component.type !== "state.azure.cosmosdb";
  }

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
