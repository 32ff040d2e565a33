// Sample data. Every id is invented, and every name contains `sample`, so that nobody takes the groups for real ones.
import type { Subscription } from "./resource-manager.ts";
import type { Principal } from "./tokens.ts";

const names = [
  "rg-sample-aks-westeurope",
  "rg-sample-container-apps",
  "rg-sample-cosmos-db",
  "rg-sample-dapr-dev",
  "rg-sample-dapr-prod",
  "rg-sample-dns-private",
  "rg-sample-keyvault",
  "rg-sample-log-analytics",
  "rg-sample-network-hub",
  "rg-sample-network-spoke",
  "rg-sample-policy",
  "rg-sample-wasm-registry",
];

export const sampleSubscription: Subscription = {
  id: "00000000-5a4d-4b1e-8000-000000000001",
  name: "Sample subscription",
  groups: names.map((name) => ({ name, tags: { "sample-data": "azure-stand-in" } })),
};

export const sampleTenantId = "00000000-5a4d-4b1e-8000-00000000000a";

/** The system-assigned identity of every app. */
export const sampleIdentity: Principal = {
  clientId: "00000000-5a4d-4b1e-8000-0000000000c1",
  objectId: "00000000-5a4d-4b1e-8000-0000000000b1",
};
