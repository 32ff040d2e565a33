import { onTestFinished } from "vitest";
import { createDaprStore, type DaprStore } from "../../services/state-api/dapr-store.ts";

/** The adapter for a sidecar; it is closed when the test has finished. */
export function connectStore(origin: string, more: Partial<Parameters<typeof createDaprStore>[0]> = {}): DaprStore {
  const store = createDaprStore({ origin, storeName: "statestore", requestTimeoutMs: 1_900, ...more });
  onTestFinished(() => store.close());
  return store;
}
