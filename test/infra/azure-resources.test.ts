// Tests the simulator of Azure Resource Manager with two Microsoft clients, the Azure CLI and @azure/arm-resources.
// Both must get the same results; each polls long-running operations in its own way.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { ResourceManagementClient } from "@azure/arm-resources";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { loadKeys } from "../../stand-ins/azure/certificate.ts";
import { identityHeader } from "../../stand-ins/azure/defaults.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { createResources } from "../simulators/resource-manager/resources.ts";
import { at, textAt } from "../support/at.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";

const subscription = { id: "00000000-0000-0000-0000-0000000000a7", name: "Contract", groups: [] };
const providers = (group: string) => `/subscriptions/${subscription.id}/resourceGroups/${group}/providers`;

/** Operations of both clients. An error response rejects with its code or message. */
interface Client {
  putGroup(name: string): Promise<void>;
  hasGroup(name: string): Promise<boolean>;
  removeGroup(name: string): Promise<void>;
  put(id: string, properties: Record<string, unknown>): Promise<Resource>;
  change(id: string, properties: Record<string, unknown>): Promise<Resource>;
  get(id: string): Promise<Resource>;
  remove(id: string): Promise<void>;
}

interface Resource {
  readonly id?: string;
  readonly type?: string;
  readonly properties?: unknown;
}

const folder = mkdtempSync(join(tmpdir(), "azure-resources-"));
let azure: Azure;
let az: AzureCli;
beforeAll(async () => {
  azure = await startAzure({
    folder: join(folder, "azure"),
    subscriptions: [subscription],
    resources: createResources(),
  });
  const { ca } = await loadKeys(join(folder, "azure"));
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
  az = await startAzureCli(azure);
});
afterAll(async () => {
  az?.close();
  await azure?.close();
  rmSync(folder, { recursive: true });
});

const version = "2025-07-01";
const location = "westeurope";

function connectCli(): Client {
  const show = async (command: string) => JSON.parse(await az.run(`az ${command} --output json`));
  const text = (properties: object) => `'${JSON.stringify(properties)}'`;
  return {
    putGroup: async (name) => void (await show(`group create --name ${name} --location ${location}`)),
    hasGroup: (name) => show(`group exists --name ${name}`),
    removeGroup: async (name) => void (await az.run(`az group delete --name ${name} --yes`)),
    put: (id, properties) =>
      show(`resource create --id ${id} --api-version ${version} --properties ${text(properties)}`),
    change: (id, properties) =>
      show(`resource patch --ids ${id} --api-version ${version} --properties ${text(properties)}`),
    get: (id) => show(`resource show --ids ${id} --api-version ${version}`),
    remove: async (id) => void (await az.run(`az resource delete --ids ${id} --api-version ${version}`)),
  };
}

function connectSdk(): Client {
  const credential = {
    async getToken() {
      const query = new URLSearchParams({ "api-version": "2019-08-01", resource: "https://management.azure.com" });
      const response = await fetch(`${azure.url}/msi/token?${query}`, {
        headers: { "X-IDENTITY-HEADER": identityHeader },
      });
      const body: unknown = await response.json();
      return { token: textAt(body, "access_token"), expiresOnTimestamp: Number(field(body, "expires_on")) * 1000 };
    },
  };
  const options = { endpoint: azure.httpsUrl, credentials: { scopes: ["https://management.azure.com/.default"] } };
  const { resourceGroups, resources } = new ResourceManagementClient(credential, subscription.id, options);
  const poll = { updateIntervalInMs: 1 };
  const path = (id: string) => id.slice(1); // the SDK prepends the slash
  return {
    putGroup: async (name) => void (await resourceGroups.createOrUpdate(name, { location })),
    hasGroup: async (name) => (await resourceGroups.checkExistence(name)).body,
    removeGroup: async (name) => resourceGroups.delete(name, poll),
    put: async (id, properties) => resources.createOrUpdateById(path(id), version, { location, properties }, poll),
    change: async (id, properties) => resources.updateById(path(id), version, { properties }, poll),
    get: (id) => resources.getById(path(id), version),
    remove: async (id) => resources.deleteById(path(id), version, poll),
  };
}

describe.each([
  ["the Azure CLI", "rg-cli", connectCli],
  ["@azure/arm-resources", "rg-sdk", connectSdk],
])("%s", (_name, group, connect) => {
  const account = `${providers(group)}/Microsoft.DocumentDB/databaseAccounts/account`;
  const app = `${providers(group)}/Microsoft.App/containerApps/app`;
  const template = { revisionSuffix: "v1", containers: [{ name: "app", image: "registry/app:v1" }] };
  const ingress = { external: true, targetPort: 8080 };
  let client: Client;
  beforeAll(() => {
    client = connect();
  });

  test("a group exists once created, and a resource in a missing group is rejected", async () => {
    await expect(client.put(account, {})).rejects.toThrow(/ResourceGroupNotFound|could not be found/);
    await client.putGroup(group);
    expect(await client.hasGroup(group)).toBe(true);
  });

  test("PUT replaces and PATCH merges properties, ids are case-insensitive, and a child needs its parent", async () => {
    const child = `${account}/sqlDatabases/dapr-db`;
    await expect(client.put(child, {})).rejects.toThrow(/ParentResourceNotFound|parent resource/);
    await client.put(account, { disableLocalAuth: true, tags: { keep: "a", drop: "b" } });
    const changed = await client.change(account, { minimalTlsVersion: "Tls12", tags: { drop: null } });
    expect(changed.properties).toMatchObject({
      disableLocalAuth: true,
      minimalTlsVersion: "Tls12",
      tags: { keep: "a" },
    });
    expect(at(changed, "properties.tags")).not.toHaveProperty("drop");
    await client.put(child, { resource: { id: "dapr-db" } });
    const found = await client.get(child.toUpperCase().replace("/SUBSCRIPTIONS", "/subscriptions"));
    expect(found.type).toBe("Microsoft.DocumentDB/databaseAccounts/sqlDatabases");
  });

  test("an app gets a revision only when its template changes", async () => {
    const secrets = [{ name: "key", value: "secret-value" }];
    const configuration = { activeRevisionsMode: "Multiple", ingress, secrets };
    const created = await client.put(app, { configuration, template });
    expect(created.properties).toMatchObject({ provisioningState: "Succeeded", latestRevisionName: "app--v1" });
    expect(JSON.stringify(await client.get(app))).not.toContain("secret-value");
    const traffic = [{ revisionName: "app--v1", weight: 100, label: "blue" }];
    await client.change(app, { configuration: { ingress: { traffic } } });
    const updated = await client.change(app, { template: { ...template, revisionSuffix: "v2" } });
    expect(at(updated, "properties.latestRevisionName")).toBe("app--v2");
    expect((await client.get(`${app}/revisions/app--v1`)).properties).toMatchObject({
      active: true,
      trafficWeight: 100,
    });
    expect((await client.get(`${app}/revisions/app--v2`)).properties).toMatchObject({ active: true, trafficWeight: 0 });
  });

  test("an app is rejected with wrong weights, an unknown revision, a repeated label or a used suffix", async () => {
    const share = (revisionName: string, weight: number, label: string) => ({ revisionName, weight, label });
    for (const [traffic, message] of [
      [[share("app--v1", 60, "blue")], /add up to 60/],
      [[share("app--v9", 100, "blue")], /no revision app--v9/],
      [[share("app--v1", 50, "blue"), share("app--v2", 50, "blue")], /a label occurs twice/],
    ] as const) {
      await expect(client.change(app, { configuration: { ingress: { traffic } } })).rejects.toThrow(message);
    }
    await expect(client.change(app, { template: { containers: [], revisionSuffix: "v1" } })).rejects.toThrow(
      /revision with suffix v1 already exists/,
    );
  });

  test("deleting a group deletes its resources", async () => {
    await client.remove(app);
    await expect(client.get(app)).rejects.toThrow(/ResourceNotFound|was not found/);
    await client.removeGroup(group);
    expect(await client.hasGroup(group)).toBe(false);
    await expect(client.get(account)).rejects.toThrow(/ResourceGroupNotFound|could not be found/);
  });
});
