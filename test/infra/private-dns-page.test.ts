// Runs the az commands of docs/operate/private-dns.md with the Azure CLI against the simulator of Azure Resource
// Manager, which rejects a cluster whose identity lacks its role on the zone: test/infra/azure-rules.test.ts.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import type { Subscription } from "../../stand-ins/azure/resource-manager.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { createResources, type Resources } from "../simulators/resource-manager/resources.ts";
import { at, objectAt } from "../support/at.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";
import { findBicepOrSkip, subscription } from "../support/bicep.ts";
import { readBlocks } from "../support/markdown.ts";
import { makePlans } from "../support/plans.ts";
import { root } from "../support/processes.ts";

const blocks = readBlocks("docs/operate/private-dns.md").map(({ command }) => command);
/** Blocks that need more than Resource Manager: users, networks of other teams, DNS, pods, a cluster of the reader. */
const needsAzure = /az ad|rg-hub|NETWORK-ID|^nslookup|az aks command|--name CLUSTER/;
const bicep = await findBicepOrSkip();

describe.skipIf(!bicep)("docs/operate/private-dns.md", { timeout: 180_000 }, () => {
  const empty: Subscription = { id: subscription, name: "Empty", groups: [] };
  const ran = new Set<string>();
  let resources: Resources;
  let azure: Azure;
  let az: AzureCli;

  beforeAll(async () => {
    resources = createResources();
    azure = await startAzure({ record: true, subscriptions: [empty], resources });
    az = await startAzureCli(azure, bicep ?? "");
  });
  afterAll(async () => {
    az?.close();
    await azure?.close();
  });

  /** Runs the first block of the page that contains the text. */
  function run(text: string): Promise<string> {
    const block = blocks.find((each) => each.includes(text)) ?? expect.fail(`no block: ${text}`);
    ran.add(block);
    return az.run(block);
  }
  const zoneContributor = "b12aa53e-6015-4669-85d0-8515ebb3ae7f";
  const networkContributor = "4d97b98b-1d4f-4787-a291-c67834d212e7";
  const create = () => blocks.find((block) => block.startsWith("az aks create")) ?? expect.fail("no az aks create");
  const find = (type: string) => resources.store.list(`/subscriptions/${subscription}`, type);
  const clusters = () => find("Microsoft.ContainerService/managedClusters");
  const roles = () =>
    find("Microsoft.Authorization/roleAssignments").map(({ properties }) => [
      String(properties.scope).split("/").at(-1),
      String(properties.roleDefinitionId).split("/").at(-1),
      properties.principalId,
    ]);

  test("the cluster is private, in the zone and the subnet of the page, with the settings of the Bicep template", async () => {
    await run("az network vnet create");
    await run("zone=$(");
    await run(
      '--role "Private DNS Zone Contributor" --scope $zone --assignee-object-id $principal --assignee-principal-type',
    );
    resources.clock.now += 600;
    await run("az aks create");
    const [cluster, ...others] = clusters();
    expect(others).toEqual([]);
    const plans = await makePlans(bicep ?? "", ["aks-private-custom-dns"]);
    const { properties: planned } = plans.find("aks-private-custom-dns", "Microsoft.ContainerService/managedClusters");
    const [zone] = find("Microsoft.Network/privateDnsZones");
    const [subnet] = find("Microsoft.Network/virtualNetworks/subnets");
    const names = ["networkPlugin", "networkPluginMode", "networkDataplane", "serviceCidr", "dnsServiceIP"];
    expect(at(cluster, "properties.networkProfile")).toMatchObject(
      Object.fromEntries(names.map((setting) => [setting, at(planned, `networkProfile.${setting}`)])),
    );
    expect(at(cluster, "properties.apiServerAccessProfile")).toMatchObject({
      enablePrivateCluster: at(planned, "apiServerAccessProfile.enablePrivateCluster"),
      enablePrivateClusterPublicFQDN: at(planned, "apiServerAccessProfile.enablePrivateClusterPublicFQDN"),
      privateDNSZone: zone?.id,
    });
    expect(at(cluster, "properties.agentPoolProfiles.0.vnetSubnetID")).toBe(subnet?.id);
    const [identity] = find("Microsoft.ManagedIdentity/userAssignedIdentities");
    expect(Object.keys(objectAt(cluster, "identity.userAssignedIdentities"))).toEqual([identity?.id]);
  });

  test("the page grants the identity the two roles by its principal id, and no other", async () => {
    const [identity] = find("Microsoft.ManagedIdentity/userAssignedIdentities");
    const principal = field(identity?.properties, "principalId");
    expect(roles()).toEqual([
      ["privatelink.westeurope.azmk8s.io", zoneContributor, principal],
      ["vnet-aks", networkContributor, principal],
    ]);
  });

  test("az prints the modes of the cluster and the records and links of the zone", async () => {
    expect(await run("privateFqdn, zone: apiServerAccessProfile")).toContain("privatelink.westeurope.azmk8s.io");
    const listed = await run("record-set a list --resource-group $GROUP");
    expect(listed).toMatch(/^aks-private +10\.1\.0\.4$/m);
    expect(listed).toMatch(/^aks-private +\S+\/virtualNetworks\/vnet-aks$/m);
  });

  test("without the role on the zone, Azure rejects a cluster with the code that the page names", async () => {
    const script = `
      az identity create --resource-group $GROUP --name id-denied --location $AZURE_LOCATION --output none
      identity=$(az identity show --resource-group $GROUP --name id-denied --query id --output tsv)
      CLUSTER=aks-denied`;
    await expect(az.run(`${script}\n${create()}`)).rejects.toThrow(/CustomPrivateDNSZoneMissingPermissionError/);
  });

  test("az aks create has the other modes that the page names", async () => {
    for (const [mode, replaced] of [
      ["system", "--private-dns-zone $zone"],
      ["none", "--private-dns-zone $zone --disable-public-fqdn"],
    ] as const) {
      expect(create()).toContain(replaced);
      await az.run(`CLUSTER=aks-${mode}\n${create().replace(replaced, `--private-dns-zone ${mode}`)}`);
      const cluster = clusters().find(({ name }) => name === `aks-${mode}`);
      expect(at(cluster, "properties.apiServerAccessProfile")).toMatchObject({
        enablePrivateCluster: true,
        privateDNSZone: mode,
        ...(mode === "system" ? { enablePrivateClusterPublicFQDN: false } : {}),
      });
    }
  });

  test("a deployment of the example creates a private cluster, and the clean-up leaves nothing of az", async () => {
    await run("export AZURE_ENV_NAME=dapr-private");
    await run("az provider register --namespace Microsoft.ContainerService");
    await run("az deployment sub create");
    expect(clusters().map(({ name }) => name)).toContain("aks-dapr-private");
    await az.run("export CLUSTER=aks-private");
    await run("az aks delete");
    await run("az group delete");
    expect(clusters().map(({ name }) => name)).toEqual(["aks-dapr-private"]);
    await az.run("az group delete --name rg-dapr-private --yes");
    expect(roles()).toEqual([]);
  });

  describe("in a zone and a network of another team", () => {
    const example = "infra/bicep/parameters/examples/aks-private-existing-dns.bicepparam";
    const folder = mkdtempSync(join(tmpdir(), "private-dns-page-test-"));
    const copy = join(folder, example);
    beforeAll(() => cpSync(join(root, "infra/bicep"), join(folder, "infra/bicep"), { recursive: true }));
    afterAll(() => rmSync(folder, { recursive: true }));
    const foreign = () =>
      ["rg-hub", "rg-spoke"].flatMap((group) =>
        resources.store
          .list(`/subscriptions/${subscription}/resourceGroups/${group}`)
          .flatMap(({ id, type }) => (type.endsWith("/deployments") ? [] : id.toLowerCase())),
      );

    test.each(["exists", "create"])("with link '%s', the clean-up leaves what was there before", async (link) => {
      await az.run(`
        export AZURE_ENV_NAME=dapr-${link} AZURE_LOCATION=westeurope DEMO_SECRET=demovalue
        az group create --name rg-hub --location westeurope --output none
        az group create --name rg-spoke --location westeurope --output none
        az network private-dns zone create --resource-group rg-hub --name privatelink.westeurope.azmk8s.io --output none
        az network vnet create --resource-group rg-spoke --name vnet-spoke --address-prefixes 10.1.0.0/16 --output none
        az network vnet subnet create --resource-group rg-spoke --vnet-name vnet-spoke --name snet-aks --address-prefixes 10.1.0.0/22 --output none`);
      const before = foreign();
      const text = readFileSync(join(root, example), "utf8");
      expect(text).toContain("link: 'exists'");
      const local = text.replaceAll(/(?<=\/subscriptions\/)[\d-]+/g, subscription);
      writeFileSync(copy, local.replace("link: 'exists'", `link: '${link}'`));
      const deploy = blocks.find((block) => block.startsWith("az deployment sub create")) ?? "";
      await az.run(deploy.replace(/\S+aks-private-custom-dns\.bicepparam/, copy));
      await az.run("export GROUP=rg-$AZURE_ENV_NAME CLUSTER=aks-$AZURE_ENV_NAME");
      expect(roles().map(([scope, role]) => [scope, role])).toEqual(
        expect.arrayContaining([
          ["privatelink.westeurope.azmk8s.io", zoneContributor],
          ["vnet-spoke", networkContributor],
        ]),
      );
      expect(foreign().length).toBeGreaterThan(before.length + 2);
      await run("az aks delete");
      const [left] = (await run("az rest")).match(/\S+/) ?? [];
      expect(left === undefined).toBe(link === "exists"); // AKS removes the record, and the link that it created itself
      const remove = blocks.find((block) => block.includes("--ids LINK-ID")) ?? expect.fail("no block");
      ran.add(remove);
      if (left) await az.run(remove.replace(/^.*RECORD-ID.*$/m, "").replace("LINK-ID", left));
      await run("az role assignment delete");
      expect(foreign()).toEqual(before);
      await az.run("az group delete --name rg-$AZURE_ENV_NAME --yes");
      expect(roles()).toEqual([]);
    });
  });

  test("every block that was not run needs a real subscription", () => {
    expect(blocks.filter((block) => !ran.has(block) && !needsAzure.test(block))).toEqual([]);
  });
});
