// Sample data. Every id is invented, and every name contains `sample`, so that nobody takes the data for real.
import type { Application, User } from "./entra/directory.ts";
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

/** The user whom `npm start` and the tests sign in, and one who must not see the first one's data. */
export const sampleUsers: readonly [User, User] = [
  {
    objectId: "00000000-5a4d-4b1e-8000-0000000000d1",
    name: "Ada Sample",
    username: "ada@sample.example",
  },
  {
    objectId: "00000000-5a4d-4b1e-8000-0000000000d2",
    name: "Ben Sample",
    username: "ben@sample.example",
  },
];

/** The registration of welcome, whose page gets tokens for its own API. The port does not matter on loopback. */
export const sampleApplication: Application = {
  clientId: "00000000-5a4d-4b1e-8000-0000000000e1",
  objectId: "00000000-5a4d-4b1e-8000-0000000000e2",
  displayName: "sample-welcome",
  spaRedirectUris: ["http://localhost/", "http://127.0.0.1/"],
  exposedScopes: ["user_impersonation"],
};
