// Runs the az commands of docs/operate/key-vault.md with the Azure CLI against the simulator of Azure Resource Manager.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import type { Subscription } from "../../stand-ins/azure/resource-manager.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { createResources, type Resources } from "../simulators/resource-manager/resources.ts";
import { type Storage, startStorage } from "../simulators/resource-manager/storage.ts";
import { at } from "../support/at.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";
import { subscription } from "../support/bicep.ts";
import { readBlocks } from "../support/markdown.ts";

const blocks = readBlocks("docs/operate/key-vault.md").map(({ command }) => command);
/** Blocks that need more than Resource Manager: a terminal, secrets, users of the tenant, a cluster. */
const needsAzure =
  /^(read|kubectl|curl|sed|az aks get-credentials) |^folder=|^export KEY_VAULT_ADDON|az keyvault secret|az ad/;
const me = "55555555-5555-4555-8555-555555555555";

describe("docs/operate/key-vault.md", { timeout: 180_000 }, () => {
  const empty: Subscription = { id: subscription, name: "Empty", groups: [] };
  const ran = new Set<string>();
  let resources: Resources;
  let storage: Storage;
  let azure: Azure;
  let az: AzureCli;

  beforeAll(async () => {
    storage = await startStorage();
    resources = createResources({ storage: storage.url });
    azure = await startAzure({ record: true, subscriptions: [empty], resources });
    az = await startAzureCli(azure);
  });
  afterAll(async () => {
    az?.close();
    await azure?.close();
    await storage?.close();
  });

  /**
   * Runs the first block of the page that contains the text, except what needs more than Resource Manager: the ids of
   * users, secrets, and the API server of the cluster.
   */
  function run(text: string): Promise<string> {
    const block = blocks.find((each) => each.includes(text)) ?? expect.fail(`no block: ${text}`);
    ran.add(block);
    return az.run(
      block
        .replaceAll(/\$\(az ad signed-in-user [^)]*\)/g, me)
        .replaceAll(/^(.*az keyvault secret set|kubectl) .*$/gm, "")
        .replaceAll(/^setting .*$/gm, ""),
    );
  }
  const find = (type: string) => resources.store.list(`/subscriptions/${subscription}`, type);
  const only = (type: string) => {
    const [found, ...others] = find(type);
    return found && others.length === 0 ? found : expect.fail(`${others.length + Number(!!found)} of ${type}`);
  };
  const cluster = () => only("Microsoft.ContainerService/managedClusters");
  /** Principals with a role that has this id, each with the end of its scope. */
  const holders = (role: string) =>
    find("Microsoft.Authorization/roleAssignments")
      .filter(({ properties }) => String(properties.roleDefinitionId).endsWith(role))
      .map(({ properties }) => [properties.principalId, String(properties.scope).split("/vaults/").at(-1)]);
  const rotation = { enabled: true, config: { enableSecretRotation: "true", rotationPollInterval: "2m" } };
  const secretsUser = "4633458b-17de-408a-b874-0445c86b69e6";

  test("the cluster has the add-on with rotation, the issuer and workload identity", async () => {
    await run("export GROUP=");
    await run("az aks create");
    await run("az acr create");
    expect(at(cluster(), "properties.oidcIssuerProfile.enabled")).toBe(true);
    expect(at(cluster(), "properties.addonProfiles.azureKeyvaultSecretsProvider")).toMatchObject(rotation);
    expect(at(cluster(), "properties.securityProfile.workloadIdentity.enabled")).toBe(true);
  });

  test("the page grants Key Vault Secrets Officer to the signed-in user on the vault", async () => {
    await run("az keyvault create");
    const { name, properties } = only("Microsoft.KeyVault/vaults");
    expect(properties.enableRbacAuthorization).toBe(true);
    expect(holders("b86a8fe4-44ce-4948-aee5-eccb2c155cd7")).toEqual([[me, name]]);
  });

  test("welcome's identity can read demosecret by its principal id, and trusts the service account of welcome", async () => {
    await run("az identity create");
    const identity = only("Microsoft.ManagedIdentity/userAssignedIdentities");
    const { name } = only("Microsoft.KeyVault/vaults");
    expect(holders(secretsUser)).toEqual([[identity.properties.principalId, `${name}/secrets/demosecret`]]);
    const trust = only("Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials");
    expect(trust.properties).toMatchObject({
      issuer: at(cluster(), "properties.oidcIssuerProfile.issuerURL"),
      subject: "system:serviceaccount:dapr-samples:welcome",
      audiences: ["api://AzureADTokenExchange"],
    });
  });

  test("the add-on's identity can read demosecret by its object id", async () => {
    await run("identity.objectId");
    const addon = at(cluster(), "properties.addonProfiles.azureKeyvaultSecretsProvider.identity");
    const { name } = only("Microsoft.KeyVault/vaults");
    expect(holders(secretsUser)).toContainEqual([field(addon, "objectId"), `${name}/secrets/demosecret`]);
  });

  test("the clean-up leaves no resource, no role and no name of a vault", async () => {
    await run("az group delete");
    expect(empty.groups).toEqual([]);
    expect(find("Microsoft.Authorization/roleAssignments")).toEqual([]);
    expect((await az.run("az keyvault list-deleted --resource-type vault --query 'length(@)'")).trim()).toBe("0");
  });

  test("in a new shell, the commands for a cluster that exists enable the same, and the clean-up leaves only the cluster", async () => {
    await az.run(`
      unset GROUP CLUSTER_GROUP CLUSTER AZURE_LOCATION VAULT REGISTRY IMAGES vault
      az group create --name rg-mine --location westeurope --output none
      az aks create --resource-group rg-mine --name aks-mine --no-ssh-key --output none`);
    const before = resources.store.list(`/subscriptions/${subscription}`).map(({ id }) => id);
    expect(at(cluster(), "properties.oidcIssuerProfile.enabled")).toBeFalsy();
    await run("export GROUP=");
    await run("az aks enable-addons");
    expect(at(cluster(), "properties.oidcIssuerProfile.enabled")).toBe(true);
    expect(at(cluster(), "properties.addonProfiles.azureKeyvaultSecretsProvider")).toMatchObject(rotation);
    await run("az acr create");
    await run("az keyvault create");
    await run("az identity create");
    await run("identity.objectId");
    expect(find("Microsoft.ContainerRegistry/registries")).toHaveLength(1);
    await run("az aks disable-addons");
    await run("az group delete");
    expect(resources.store.list(`/subscriptions/${subscription}`).map(({ id }) => id)).toEqual(before);
    expect(empty.groups.map(({ name }) => name)).toEqual(["rg-mine"]);
    expect(at(cluster(), "properties.addonProfiles.azureKeyvaultSecretsProvider.enabled")).toBe(false);
    expect((await az.run("az keyvault list-deleted --resource-type vault --query 'length(@)'")).trim()).toBe("0");
  });

  test("every block that was not run needs a cluster or a real subscription", () => {
    expect(blocks.filter((block) => !ran.has(block) && !needsAzure.test(block))).toEqual([]);
  });
});
