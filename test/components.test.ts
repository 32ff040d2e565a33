// components/cosmos has the same store in four forms. test/services/state-api loads the keyed one into a real daprd.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";

const dapr = ["sidecar-key/statestore.yaml", "sidecar-keyless/statestore.yaml"];
const containerApps = ["containerapps.yaml", "containerapps-key.yaml"];
const shared = [
  { name: "database", value: "dapr-db" },
  { name: "collection", value: "statestore" },
];

function read(file: string): unknown {
  return parse(readFileSync(`components/cosmos/${file}`, "utf8"));
}

describe("the Cosmos DB components", () => {
  test.each(dapr)("%s is a Dapr component named statestore and scoped to state-api", (file) => {
    expect(read(file)).toMatchObject({
      apiVersion: "dapr.io/v1alpha1",
      kind: "Component",
      metadata: { name: "statestore" },
      spec: {
        type: "state.azure.cosmosdb",
        version: "v1",
        initTimeout: "30s",
        metadata: expect.arrayContaining(shared),
      },
      scopes: ["state-api"],
    });
  });

  test.each(containerApps)("%s has the shape of Container Apps, not Dapr's", (file) => {
    const component = read(file);
    expect(component).toMatchObject({
      componentType: "state.azure.cosmosdb",
      version: "v1",
      initTimeout: "30s",
      metadata: expect.arrayContaining(shared),
      scopes: ["state-api"],
    });
    for (const key of ["apiVersion", "kind", "spec", "auth"]) expect(component).not.toHaveProperty(key);
  });

  test("the keyless components name an identity, the keyed ones take the key from a secret", () => {
    const keyed = { metadata: expect.arrayContaining([{ name: "masterKey", secretRef: "cosmos-key" }]) };
    expect(read("containerapps-key.yaml")).toMatchObject(keyed);
    const fromStore = { name: "masterKey", secretKeyRef: { name: "KEY", key: "KEY" } };
    expect(read("sidecar-key/statestore.yaml")).toMatchObject({
      spec: { metadata: expect.arrayContaining([fromStore]) },
      auth: { secretStore: "secretstore" },
    });
    for (const file of ["sidecar-keyless/statestore.yaml", "containerapps.yaml"]) {
      expect(JSON.stringify(read(file))).toContain('"azureClientId"');
      expect(JSON.stringify(read(file))).not.toContain("masterKey");
    }
  });

  test("the secret store reads only variables that start with COSMOS_, for state-api only", () => {
    expect(read("sidecar-key/secretstore.yaml")).toMatchObject({
      metadata: { name: "secretstore" },
      spec: { type: "secretstores.local.env", metadata: [{ name: "prefix", value: "COSMOS_" }] },
      scopes: ["state-api"],
    });
  });
});
