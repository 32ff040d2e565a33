// Plans of the real compiler: what each option that both platforms have adds to a plan, and changes in it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { at, listAt, objectAt } from "../support/at.ts";
import { environment, findBicepOrSkip, openWorkshop, type Plan, type Workshop } from "../support/bicep.ts";
import { fileOf, shipped } from "../support/plans.ts";

const path = await findBicepOrSkip();
const { MY_ADDRESS } = environment;

describe.skipIf(!path)("the options of main.bicep", { timeout: 120_000 }, () => {
  let workshop: Workshop;
  beforeAll(() => {
    workshop = openWorkshop(path ?? "");
  });
  afterAll(() => workshop.close());

  /** The plan of a parameter file after a change of its text. The file itself stays as it is. */
  async function planOf(name: string, change: (text: string) => string): Promise<Plan> {
    const file = fileOf(name);
    const changed = file.replace(/\.bicepparam$/, ".changed.bicepparam");
    writeFileSync(join(workshop.folder, changed), change(readFileSync(join(workshop.folder, file), "utf8")));
    return workshop.plan(changed);
  }

  /** The plans of an example: as it is, and without the line that sets a parameter. */
  async function compare(example: string, parameter: string) {
    const line = new RegExp(`^param ${parameter} = .*\n`, "m");
    const on = await planOf(example, (text) =>
      line.test(text) ? text : expect.fail(`${example} sets no ${parameter}`),
    );
    const off = await planOf(example, (text) => text.replace(line, ""));
    const ids = (plan: Plan) => new Set(plan.resources.map(({ id }) => id));
    return { on, off, added: [...ids(on).difference(ids(off))], removed: [...ids(off).difference(ids(on))] };
  }

  describe("tags", () => {
    /** Types of Azure that have no tags. */
    const untagged = [
      "Microsoft.App/containerApps/authConfigs",
      "Microsoft.App/managedEnvironments/daprComponents",
      "Microsoft.App/managedEnvironments/daprComponents/resiliencyPolicies",
      "Microsoft.Authorization/locks",
      "Microsoft.Authorization/policyAssignments",
      "Microsoft.Authorization/roleAssignments",
      "Microsoft.ContainerService/managedClusters/maintenanceConfigurations",
      "Microsoft.DocumentDB/databaseAccounts/sqlDatabases",
      "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers",
      "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments",
      "Microsoft.Insights/dataCollectionRuleAssociations",
      "Microsoft.Insights/diagnosticSettings",
      "Microsoft.KubernetesConfiguration/extensions",
      "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
      "Microsoft.Network/privateDnsZones/A",
      "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
      "Microsoft.Network/virtualNetworks/subnets",
    ];
    const tags = { costCenter: "4711", owner: "platform-team" };
    const tagged = (text: string) =>
      `${text.replace(/^param tags = .*\n/m, "")}\nparam tags = { costCenter: '4711', owner: 'platform-team' }\n`;

    test.for(shipped)("every resource of %s that can have tags gets those of the parameter tags", async (name) => {
      const { resources } = await planOf(name, tagged);
      for (const resource of resources.filter(({ type }) => !untagged.includes(type))) {
        expect([resource.id, field(resource, "tags")]).toEqual([resource.id, expect.objectContaining(tags)]);
      }
      for (const pool of resources.flatMap(({ properties }) => at(properties, "agentPoolProfiles") ?? [])) {
        expect(field(pool, "tags")).toEqual(tags);
      }
    });

    test.for([
      ["tags", "azd-env-name", "dapr-samples"],
      ["welcome-tags", "azd-service-name", "welcome"],
    ] as const)(
      "examples/%s.bicepparam cannot replace the tag %s, by which azd finds what it deployed",
      async ([name, tag, value]) => {
        const own = `{ '${tag}': 'mine', costCenter: '4711' }`;
        const { resources } = await planOf(name, (text) => text.replace(/^param tags = .*$/m, `param tags = ${own}`));
        expect(field(resources[0], "tags")).toEqual({ [tag]: value, costCenter: "4711" });
      },
    );

    test("examples/tags.bicepparam and examples/welcome-tags.bicepparam set the same tags", async () => {
      for (const name of ["tags", "welcome-tags"]) {
        const { resources } = await planOf(name, (text) => text);
        expect(resources.map((resource) => field(resource, "tags"))).toContainEqual(expect.objectContaining(tags));
      }
    });
  });

  test("without options a plan has no lock, no zones and no private endpoint", async () => {
    for (const name of ["containerapps", "aks"]) {
      const { resources, text } = await planOf(name, (unchanged) => unchanged);
      const types = resources.map(({ type }) => type);
      expect(types).not.toContain("Microsoft.Authorization/locks");
      expect(types).not.toContain("Microsoft.Network/privateEndpoints");
      expect(text).not.toMatch(/"(isZ|z)oneRedundant":true/);
    }
  });

  test("diagnostics: false removes the audit logs of the registry, the vault and Cosmos DB, and nothing else", async () => {
    const { off: byDefault, added, removed } = await compare("without-audit-logs", "diagnostics");
    expect(added).toEqual([]);
    const workspaceId = byDefault.resources.find(({ type }) => type === "Microsoft.OperationalInsights/workspaces")?.id;
    /** The logged resource is the first whose type an id or, for the vault, an expression contains. */
    const typeOf = (id: string) => /Microsoft\.\w+\/\w+/.exec(id.replace(/^.*?\/providers\//, ""))?.[0];
    const logged = byDefault.resources.filter(({ id }) => removed.includes(id));
    expect(logged.map(({ type }) => type)).toEqual(Array(removed.length).fill("Microsoft.Insights/diagnosticSettings"));
    expect(Object.fromEntries(logged.map(({ id, properties }) => [typeOf(id), properties]))).toEqual({
      "Microsoft.ContainerRegistry/registries": { workspaceId, logs: [{ categoryGroup: "audit", enabled: true }] },
      "Microsoft.KeyVault/vaults": { workspaceId, logs: [{ categoryGroup: "audit", enabled: true }] },
      "Microsoft.DocumentDB/databaseAccounts": {
        workspaceId,
        logAnalyticsDestinationType: "Dedicated",
        logs: [{ category: "ControlPlaneRequests", enabled: true }],
      },
    });
  });

  describe("the firewalls of Cosmos DB and the vault", () => {
    const cosmos = "Microsoft.DocumentDB/databaseAccounts";
    const vault = "Microsoft.KeyVault/vaults";
    const services = { [cosmos]: "Microsoft.AzureCosmosDB", [vault]: "Microsoft.KeyVault" };
    const propertiesOf = (plan: Plan, type: string) => plan.resources.find((item) => item.type === type)?.properties;
    const asItIs = (text: string) => text;

    /** The subnets and addresses that a firewall admits; undefined if it admits every address. */
    function admittedBy(plan: Plan, type: string) {
      const properties = propertiesOf(plan, type);
      const isCosmos = type === cosmos;
      const closed = isCosmos
        ? at(properties, "isVirtualNetworkFilterEnabled") === true
        : at(properties, "networkAcls.defaultAction") === "Deny";
      const rules = isCosmos ? properties : at(properties, "networkAcls");
      const subnets = listAt(rules, "virtualNetworkRules").map((rule) => field(rule, "id"));
      const addresses = listAt(rules, "ipRules").map((rule) => field(rule, isCosmos ? "ipAddressOrRange" : "value"));
      if (!closed) expect([...subnets, ...addresses]).toEqual([]);
      return closed ? { subnets, addresses } : undefined;
    }

    /** The subnets with a service endpoint: parts of a network, or resources of their own. */
    function subnetsWith(plan: Plan, service: string): unknown[] {
      const networks = plan.resources.filter(({ type }) => type === "Microsoft.Network/virtualNetworks");
      const parts = networks.flatMap(({ id, properties }) =>
        [at(properties, "subnets") ?? []].flat().map((subnet) => ({
          id: `${id}/subnets/${field(subnet, "name")}`,
          properties: field(subnet, "properties"),
        })),
      );
      const own = plan.resources.filter(({ type }) => type === "Microsoft.Network/virtualNetworks/subnets");
      return [...parts, ...own]
        .filter(({ properties }) => JSON.stringify(at(properties, "serviceEndpoints") ?? []).includes(`"${service}"`))
        .map(({ id }) => id);
    }

    test.for([
      ["aks", cosmos, [MY_ADDRESS]],
      ["aks", vault, [MY_ADDRESS]],
      ["aks-operations", vault, [MY_ADDRESS]],
      ["aks-private-custom-dns", cosmos, [MY_ADDRESS]],
      ["zone-redundant", cosmos, [MY_ADDRESS]],
      ["containerapps-private", cosmos, []], // MY_ADDRESS is an address in the network
    ] as const)("%s: %s admits the subnet of the services, which has its service endpoint, and %j", async (row) => {
      const [name, type, addresses] = row;
      const plan = await planOf(name, asItIs);
      const subnets = subnetsWith(plan, services[type] ?? "");
      expect(subnets).toEqual([expect.stringMatching(/\/virtualNetworks\/vnet-dapr-samples\/subnets\/\w+$/)]);
      expect(admittedBy(plan, type)).toEqual({ subnets, addresses });
    });

    test.for([
      ["containerapps", cosmos], // the apps have no fixed address
      ["containerapps", vault],
      ["containerapps-private", vault], // it is not known whether references work through a service endpoint
      ["zone-redundant", vault],
      ["containerapps-existing-network", cosmos], // the subnet may lack the service endpoint
      ["aks-existing-network", cosmos],
      ["aks-existing-network", vault],
    ] as const)("%s: %s admits every address", async ([name, type]) => {
      const plan = await planOf(name, asItIs);
      expect(admittedBy(plan, type)).toBeUndefined();
      expect(propertiesOf(plan, type)).toMatchObject({ publicNetworkAccess: "Enabled" });
    });

    test("with private endpoints, the vault admits no address, although it trusts services of Azure", async () => {
      for (const name of ["aks-private-endpoints", "containerapps-private-endpoints"]) {
        const plan = await planOf(name, asItIs);
        expect(admittedBy(plan, vault)).toEqual({ subnets: [], addresses: [] });
        expect(propertiesOf(plan, cosmos)).toMatchObject({ publicNetworkAccess: "Disabled" });
      }
    });

    test("the subnet has its service endpoints before Cosmos DB and the vault admit it", async () => {
      const template = JSON.parse((await workshop.compile("infra/bicep/main.bicep")).contents);
      expect(at(template, "resources.cosmos.dependsOn")).toEqual(
        expect.arrayContaining(["clusterNetwork", "appsNetwork"]),
      );
      expect(at(template, "resources.vault.dependsOn")).toContain("clusterNetwork");
    });
  });

  test("lock adds a lock against deletion to the resource group, and nothing else", async () => {
    const { on, added, removed } = await compare("lock", "lock");
    expect(removed).toEqual([]);
    expect(added).toEqual([
      expect.stringMatching(/rg-dapr-samples\/providers\/Microsoft.Authorization\/locks\/no-delete$/),
    ]);
    expect(on.resources.find(({ type }) => type === "Microsoft.Authorization/locks")?.properties).toEqual({
      level: "CanNotDelete",
      notes: "Before azd down: az lock delete --name no-delete --resource-group rg-dapr-samples",
    });
  });

  test("zoneRedundant spreads Cosmos DB and the Container Apps environment over zones, and adds nothing", async () => {
    const { on, off, added, removed } = await compare("zone-redundant", "zoneRedundant");
    expect([...added, ...removed]).toEqual([]);
    const zones = ({ resources }: Plan) =>
      resources.flatMap(({ type, properties }) => {
        if (type === "Microsoft.App/managedEnvironments") return [at(properties, "zoneRedundant")];
        if (type !== "Microsoft.DocumentDB/databaseAccounts") return [];
        return listAt(properties, "locations").map((location) => field(location, "isZoneRedundant"));
      });
    expect(zones(on)).toEqual([true, true]);
    expect(zones(off)).toEqual([false, false]);
  });

  describe("privateEndpoints", () => {
    const types = {
      endpoint: "Microsoft.Network/privateEndpoints",
      records: "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
      zone: "Microsoft.Network/privateDnsZones",
      link: "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    };
    /** The compiler leaves the suffixes of the cloud to Azure: .azurecr.io and .vault.azure.net. */
    const names = [
      "[format('privatelink{0}', environment().suffixes.acrLoginServer)]",
      "[format('privatelink{0}', replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.'))]",
      "privatelink.documents.azure.com",
    ];
    const idOf = ({ resources }: Plan, type: string) => resources.find((resource) => resource.type === type)?.id;
    const all = ({ resources }: Plan, type: string) => resources.filter((resource) => resource.type === type);
    /** An id that is an expression has brackets, unless it is part of another expression. */
    const bare = (id: unknown) => String(id).replace(/^\[(.*)\]$/, "$1");

    test("gives the registry, the vault and Cosmos DB an address in a subnet of its own, and adds nothing else", async () => {
      const { on, added, removed } = await compare("containerapps-private-endpoints", "privateEndpoints");
      expect(removed).toEqual([]);
      expect(
        on.resources
          .filter(({ id }) => added.includes(id))
          .map(({ type }) => type)
          .sort(),
      ).toEqual(
        [
          "Microsoft.Network/virtualNetworks/subnets",
          ...Object.values(types).flatMap((type) => [type, type, type]),
        ].sort(),
      );
      const subnet = added.find((id) => id.endsWith("/virtualNetworks/vnet-dapr-samples/subnets/endpoints"));
      expect(subnet).toBeDefined();
      const connections = all(on, types.endpoint).map(({ properties }) => ({
        subnet: at(properties, "subnet.id"),
        service: bare(at(properties, "privateLinkServiceConnections.0.properties.privateLinkServiceId")),
        parts: at(properties, "privateLinkServiceConnections.0.properties.groupIds"),
      }));
      expect(connections).toEqual([
        { subnet, service: idOf(on, "Microsoft.ContainerRegistry/registries"), parts: ["registry"] },
        { subnet, service: expect.stringContaining("Microsoft.KeyVault/vaults"), parts: ["vault"] },
        { subnet, service: idOf(on, "Microsoft.DocumentDB/databaseAccounts"), parts: ["Sql"] },
      ]);
    });

    test("closes the public access of all three, and buys the Premium registry that endpoints need", async () => {
      const { on, off } = await compare("containerapps-private-endpoints", "privateEndpoints");
      const services = ["ContainerRegistry/registries", "KeyVault/vaults", "DocumentDB/databaseAccounts"];
      const access = (plan: Plan) =>
        services.map((type) => at(all(plan, `Microsoft.${type}`)[0], "properties.publicNetworkAccess"));
      expect(access(on)).toEqual(["Disabled", "Disabled", "Disabled"]);
      expect(access(off)).toEqual(["Enabled", "Enabled", "Enabled"]);
      const tier = (plan: Plan) => at(all(plan, "Microsoft.ContainerRegistry/registries")[0], "sku.name");
      expect([tier(on), tier(off)]).toEqual(["Premium", "Basic"]);
    });

    test.for(["containerapps-private-endpoints", "aks"])(
      "%s resolves the names of the services to the endpoints in the network of the services",
      async (name) => {
        const plan = await planOf(
          name,
          (text) => `${text.replace(/^param privateEndpoints.*\n/m, "")}\nparam privateEndpoints = {}\n`,
        );
        expect(all(plan, types.zone).map((zone) => zone.name)).toEqual(names);
        const id = idOf(plan, "Microsoft.Network/virtualNetworks");
        expect(all(plan, types.link).map(({ properties }) => at(properties, "virtualNetwork.id"))).toEqual([
          id,
          id,
          id,
        ]);
        const zones = all(plan, types.records).map(({ properties }) =>
          at(properties, "privateDnsZoneConfigs.0.properties.privateDnsZoneId"),
        );
        expect(zones).toEqual(all(plan, types.zone).map((zone) => zone.id));
      },
    );

    test("endpoints in an existing subnet, with existing zones, add nothing but endpoints and their records", async () => {
      const on = await planOf("aks-private-endpoints", (text) => text);
      const off = await planOf("aks-existing-network", (text) => text);
      const ids = new Set(off.resources.map(({ id }) => id));
      const added = on.resources.filter(({ id }) => !ids.has(id));
      expect(added.map(({ type }) => type).sort()).toEqual(
        [types.endpoint, types.records].flatMap((type) => [type, type, type]).sort(),
      );
      for (const { properties } of all(on, types.endpoint)) {
        expect(at(properties, "subnet.id")).toMatch(/rg-spoke.*\/vnet-spoke\/subnets\/snet-endpoints$/);
      }
      const zones = all(on, types.records).map(({ properties }) =>
        at(properties, "privateDnsZoneConfigs.0.properties.privateDnsZoneId"),
      );
      expect(zones).toEqual([
        expect.stringMatching(/rg-hub.*\/privatelink.azurecr.io$/),
        expect.stringMatching(/rg-hub.*\/privatelink.vaultcore.azure.net$/),
        expect.stringMatching(/rg-hub.*\/privatelink.documents.azure.com$/),
      ]);
    });

    test("AKS keeps its subnets and gets one for the endpoints in the same request", async () => {
      const subnets = (plan: Plan) => listAt(all(plan, "Microsoft.Network/virtualNetworks")[0], "properties.subnets");
      const off = await planOf("aks", (text) => text);
      const on = await planOf("aks", (text) => `${text}\nparam privateEndpoints = {}\n`);
      expect(subnets(on)).toEqual([
        ...subnets(off),
        { name: "endpoints", properties: { addressPrefix: "10.1.4.0/24" } },
      ]);
    });

    test("endpoints of one subnet are created one after the other", async () => {
      const template = JSON.parse((await workshop.compile("infra/bicep/modules/private-endpoints.bicep")).contents);
      const modules = new Map(Object.entries(objectAt(template, "resources")));
      const endpoints = [...modules.keys()].filter((name) =>
        JSON.stringify(at(modules.get(name), "properties.template") ?? "").includes(`"type":"${types.endpoint}"`),
      );
      const waitsFor = (name: string): string[] =>
        ((at(modules.get(name), "dependsOn") ?? []) as string[]).flatMap((other) => [other, ...waitsFor(other)]);
      expect(endpoints).toHaveLength(3);
      for (const [index, one] of endpoints.entries()) {
        for (const other of endpoints.slice(index + 1)) {
          expect(waitsFor(one).includes(other) || waitsFor(other).includes(one), `${one} and ${other}`).toBe(true);
        }
      }
    });

    test("the endpoints wait until nothing else changes Cosmos DB or the network, which the cluster changes, too", async () => {
      const template = JSON.parse((await workshop.compile("infra/bicep/main.bicep")).contents);
      expect(at(template, "resources.endpoints.dependsOn")).toEqual(
        expect.arrayContaining(["aks", "cosmos", "registry", "vault", "containerApps"]),
      );
      expect(at(template, "resources.aks.dependsOn")).toContain("clusterNetworkAccess");
      expect(at(template, "resources.clusterNetworkAccess.dependsOn")).toContain("clusterNetwork");
    });
  });
});
