// Plans of the real compiler: what each option of main.bicep for an existing platform adds to a plan, and changes in it.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { at, listAt } from "../support/at.ts";
import { findBicepOrSkip, openWorkshop, type Plan, type Workshop } from "../support/bicep.ts";
import { fileOf, shipped } from "../support/plans.ts";

const path = await findBicepOrSkip();

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

  test("without options a plan has no audit log, no lock, no zones and no private endpoint", async () => {
    for (const name of ["containerapps", "aks"]) {
      const { resources, text } = await planOf(name, (unchanged) => unchanged);
      const types = resources.map(({ type }) => type);
      expect(types).not.toContain("Microsoft.Authorization/locks");
      expect(types).not.toContain("Microsoft.Network/privateEndpoints");
      expect(text).not.toMatch(/(registries|vaults|databaseAccounts)\/[^/]*\/providers\/Microsoft.Insights/);
      expect(text).not.toMatch(/"(isZ|z)oneRedundant":true/);
    }
  });

  test("diagnostics adds an audit log to the registry, the vault and Cosmos DB, and nothing else", async () => {
    const { on, added, removed } = await compare("diagnostics", "diagnostics");
    expect(removed).toEqual([]);
    const workspaceId = on.resources.find(({ type }) => type === "Microsoft.OperationalInsights/workspaces")?.id;
    /** The logged resource is the first whose type an id or, for the vault, an expression contains. */
    const typeOf = (id: string) => /Microsoft\.\w+\/\w+/.exec(id.replace(/^.*?\/providers\//, ""))?.[0];
    const logged = on.resources.filter(({ id }) => added.includes(id));
    expect(logged.map(({ type }) => type)).toEqual(Array(added.length).fill("Microsoft.Insights/diagnosticSettings"));
    expect(Object.fromEntries(logged.map(({ id, properties }) => [typeOf(id), properties]))).toEqual({
      "Microsoft.ContainerRegistry/registries": { workspaceId, logs: [{ categoryGroup: "audit", enabled: true }] },
      "Microsoft.KeyVault/vaults": { workspaceId, logs: [{ categoryGroup: "audit", enabled: true }] },
      "Microsoft.DocumentDB/databaseAccounts": {
        workspaceId,
        logAnalyticsDestinationType: "Dedicated",
        logs: [
          { category: "ControlPlaneRequests", enabled: true },
          { category: "PartitionKeyStatistics", enabled: true },
        ],
      },
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
});
