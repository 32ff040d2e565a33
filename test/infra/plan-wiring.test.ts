// What depends on what: identities in outputs and variables, the order of the modules, names, and address ranges.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listAt, textAt } from "../support/at.ts";
import { findBicepOrSkip, openWorkshop, type Plan, type Workshop } from "../support/bicep.ts";
import { fileOf, makePlans, type Plans } from "../support/plans.ts";
import { shorten } from "../support/shorten.ts";

const path = await findBicepOrSkip();

describe.skipIf(!path)("the parts of a plan", { timeout: 120_000 }, () => {
  let plans: Plans;
  let workshop: Workshop;
  beforeAll(async () => {
    workshop = openWorkshop(path ?? "");
    plans = await makePlans(path ?? "", ["containerapps", "aks", "group-lister"]);
  }, 120_000);
  afterAll(() => workshop.close());

  test.for(["containerapps", "aks"])("the outputs of %s are the client ids of the services' own identities", (plan) => {
    const { STATE_API_CLIENT_ID = "", GROUP_LISTER_CLIENT_ID = "", WELCOME_CLIENT_ID = "" } = plans.of(plan).outputs;
    expect([STATE_API_CLIENT_ID, GROUP_LISTER_CLIENT_ID, WELCOME_CLIENT_ID].map(shorten)).toEqual([
      "stateApiIdentity.clientId",
      "groupListerIdentity.clientId",
      "welcomeIdentity.clientId",
    ]);
  });

  test("the other outputs come from the vault, the account and the registry, and on AKS from its add-on", () => {
    const { AZURE_KEY_VAULT_NAME, COSMOS_URL, AZURE_CONTAINER_REGISTRY_ENDPOINT, KEY_VAULT_ADDON_CLIENT_ID } =
      plans.of("aks").outputs;
    expect(
      [AZURE_KEY_VAULT_NAME, COSMOS_URL, AZURE_CONTAINER_REGISTRY_ENDPOINT, KEY_VAULT_ADDON_CLIENT_ID].map((value) =>
        shorten(value ?? ""),
      ),
    ).toEqual(["vault.name", "cosmos.url", "registry.server", "aks.keyVaultAddonClientId"]);
  });

  test("group-lister signs in with the client id of its own identity, and the component with that of state-api", () => {
    const identity = (name: string) =>
      plans.find("containerapps", "Microsoft.ManagedIdentity/userAssignedIdentities", name).id;
    const clientId = (name: string) => `[reference('${identity(name)}', '2024-11-30').clientId]`;
    const app = plans.find("group-lister", "Microsoft.App/containerApps").properties;
    expect(listAt(app, "template.containers.0.env")).toContainEqual({
      name: "AZURE_CLIENT_ID",
      value: clientId("id-group-lister"),
    });
    const component = plans.find("containerapps", "Microsoft.App/managedEnvironments/daprComponents").properties;
    expect(listAt(component, "metadata")).toContainEqual({
      name: "azureClientId",
      value: clientId("id-state-api"),
    });
  });

  describe("order", () => {
    /** What each module and resource of a Bicep file waits for, except for the resource group. */
    async function orderOf(file: string): Promise<Record<string, string[]>> {
      const { contents } = await workshop.compile(`infra/bicep/${file}.bicep`);
      const resources: Record<string, { dependsOn?: string[] }> = JSON.parse(contents).resources;
      return Object.fromEntries(
        Object.entries(resources)
          .map(([name, { dependsOn = [] }]) => [name, dependsOn.filter((item) => item !== "group").sort()] as const)
          .filter(([, dependsOn]) => dependsOn.length > 0),
      );
    }

    test("the modules of main.bicep wait for exactly those whose resources they need", async () => {
      expect(await orderOf("main")).toEqual({
        addonReader: ["aks", "vault"],
        aks: ["clusterIdentity", "clusterNetworkAccess", "clusterZoneAccess", "cosmos", "logs", "registry"],
        clusterNetworkAccess: ["clusterIdentity", "clusterNetwork"],
        clusterZoneAccess: ["clusterIdentity", "clusterNetwork", "clusterZone"],
        containerApps: ["appsNetwork", "cosmos", "logs"],
        cosmos: ["appsNetwork", "clusterNetwork", "logs", "stateApiIdentity"],
        endpoints: ["aks", "containerApps", "cosmos", "registry", "vault"],
        puller: ["pullIdentity", "registry"],
        readerOfGroup: ["groupListerIdentity"],
        readerOfSubscription: ["groupListerIdentity"],
        registry: ["logs"],
        vault: ["clusterNetwork", "logs", "welcomeIdentity"],
      });
    });

    test.for([
      ["modules/aks", "monitoring", "cluster"],
      ["modules/container-apps", "stateStore", "account, environment, identity"],
      ["modules/container-apps", "createdZoneRecords", "createdZone, environment"],
      ["modules/key-vault", "reader", "secret, vault"],
      ["modules/container-apps-network", "endpointSubnet", "network, subnet"],
      ["modules/container-app", "certificate", "app"],
      ["apps/welcome", "platformCheck", "welcomeApp"],
    ] as const)("in %s, %s waits for: %s", async ([file, name, expected]) => {
      expect((await orderOf(file))[name]?.join(", ")).toBe(expected);
    });
  });

  /** The plan of a parameter file with more lines, after a change of its text. */
  async function planWith(name: string, lines: string, change = (text: string) => text): Promise<Plan> {
    const file = fileOf(name);
    const changed = file.replace(".bicepparam", ".changed.bicepparam");
    const text = readFileSync(join(workshop.folder, file), "utf8");
    writeFileSync(join(workshop.folder, changed), `${change(text)}\n${lines}\n`);
    return workshop.plan(changed);
  }

  describe("names", () => {
    const types = [
      "Microsoft.ContainerRegistry/registries",
      "Microsoft.DocumentDB/databaseAccounts",
      "Microsoft.OperationalInsights/workspaces",
    ];

    test("a deployment with another name, or in another region, has other globally unique names", async () => {
      const renamed = await planWith("containerapps", "", (text) =>
        text.replace("readEnvironmentVariable('AZURE_ENV_NAME', 'dapr-samples')", "'other'"),
      );
      const elsewhere = await planWith("containerapps", "param location = 'northeurope'");
      for (const type of types) {
        const original = plans.find("containerapps", type).name;
        for (const { resources } of [renamed, elsewhere]) {
          expect(resources.filter((resource) => resource.type === type).map(({ name }) => name)).toEqual([
            expect.not.stringContaining(original),
          ]);
        }
      }
    });
  });

  describe("address ranges", () => {
    const endpoints = "param privateEndpoints = {}";

    /** The subnets of containerapps-private with another range, and with private endpoints. */
    async function rangesOf(prefix: string): Promise<string[]> {
      const { resources } = await planWith("containerapps-private", endpoints, (text) =>
        text.replaceAll("'10.20.0.0/23'", `'${prefix}'`),
      );
      return resources
        .filter(({ type }) => type === "Microsoft.Network/virtualNetworks/subnets")
        .map(({ name, properties }) => `${name.split("/")[1]} ${textAt(properties, "addressPrefix")}`);
    }

    test("a network of Container Apps gives its first half to the environment, its third quarter to endpoints", async () => {
      expect(await rangesOf("10.20.0.0/23")).toEqual(["environment 10.20.0.0/24", "endpoints 10.20.1.0/25"]);
    });

    test("the smallest network is a /26, which leaves the /27 that an environment needs", async () => {
      expect(await rangesOf("10.0.0.0/26")).toEqual(["environment 10.0.0.0/27", "endpoints 10.0.0.32/28"]);
      await expect(rangesOf("10.0.0.0/27")).rejects.toThrow("network.prefix 10.0.0.0/27 is too small");
    });

    test("the network of AKS has one subnet for the nodes and another one for endpoints", async () => {
      const { resources } = await planWith("aks", endpoints);
      const network = resources.find(({ type }) => type === "Microsoft.Network/virtualNetworks")?.properties;
      const subnets = listAt(network, "subnets").map((subnet) => [
        textAt(subnet, "name"),
        textAt(subnet, "properties.addressPrefix"),
      ]);
      expect([textAt(network, "addressSpace.addressPrefixes.0"), ...subnets]).toEqual([
        "10.1.0.0/16",
        ["nodes", "10.1.0.0/22"],
        ["endpoints", "10.1.4.0/24"],
      ]);
    });
  });
});
