import { onTestFinished } from "vitest";
import { createDaprStore, type DaprStore, type DaprStoreOptions } from "../../services/state-api/dapr-store.ts";

/** Timeouts of the adapter that a busy machine does not reach. */
export const patientTimeouts = { requestTimeoutMs: 20_000, cosmosDbWriteTimeoutMs: 20_000 };

/** The adapter for a sidecar, with patient timeouts; it is closed when the test has finished. */
export function connectStore(origin: string, more: Partial<DaprStoreOptions> = {}): DaprStore {
  const store = createDaprStore({ origin, storeName: "statestore", ...patientTimeouts, ...more });
  onTestFinished(() => store.close());
  return store;
}
