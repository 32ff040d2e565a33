import { field } from "../runtime/field.ts";
import { type Call, StoreError } from "./store.ts";

/** What the adapter has to know about the component behind the sidecar. */
export interface Component {
  /** Also true while the type is unknown: the time limit for Cosmos DB is safe for every store. */
  readonly isCosmosDb: boolean;
  /** A transaction over any keys is atomic, and a bulk read costs less than a read for each key. */
  readonly batches: boolean;
  /** The app id of the sidecar, which Dapr puts before each key; undefined while it is unknown. */
  readonly appId: string | undefined;
  /** Why the sidecar did not return its metadata this time, if the next call may get it. */
  readonly failure?: unknown;
}

/**
 * SQLite is the store of `npm start` and of Compose, the in-memory store that of the benchmark. The transactions of
 * others are not always atomic: Redis rolls none back.
 */
const BATCHING = new Set(["state.sqlite", "state.in-memory"]);

const UNKNOWN: Component = { isCosmosDb: true, batches: false, appId: undefined };

/**
 * Reads the component from the sidecar's metadata, and remembers it.
 * @param readMetadata returns the text of the sidecar's metadata
 */
export function createComponentLookup(storeName: string, readMetadata: (call?: Call) => Promise<string>) {
  let found: Promise<Component> | undefined;

  const lookUp = async (call?: Call) => describe(await readMetadata(call), storeName);

  return {
    /** Never rejects: most requests work without it, and report the fault themselves if it lasts. */
    find(call?: Call): Promise<Component> {
      found ??= lookUp(call).catch((error) => {
        // The sidecar's Configuration may exclude the metadata API: do not retry. After any other error, retry.
        if (error instanceof StoreError && error.kind === "refused") return UNKNOWN;
        found = undefined;
        return { ...UNKNOWN, failure: error };
      });
      return found;
    },
    /** Makes the next `find` query the sidecar. */
    forget(): void {
      found = undefined;
    },
  };
}

function describe(text: string, storeName: string): Component {
  let metadata: unknown;
  try {
    metadata = JSON.parse(text);
  } catch {}
  const components = field(metadata, "components");
  const component = Array.isArray(components)
    ? components.find((item) => field(item, "name") === storeName)
    : undefined;
  const type = field(component, "type");
  if (typeof type !== "string") return UNKNOWN;
  const appId = field(metadata, "id");
  return {
    isCosmosDb: type === "state.azure.cosmosdb",
    batches: BATCHING.has(type),
    appId: typeof appId === "string" ? appId : undefined,
  };
}
