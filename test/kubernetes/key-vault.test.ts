// Follows the identity that reads demosecret from a deployment of infra/bicep, by the simulator of Azure Resource
// Manager, through the settings of the overlay to the SecretProviderClass of the driver.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments, stringify } from "yaml";
import { field } from "../../services/runtime/field.ts";
import { at, textAt } from "../support/at.ts";
import { imageVariable, listHooks, runHook } from "../support/azd.ts";
import { environment, findBicepOrSkip } from "../support/bicep.ts";
import { buildTimeout, findTools } from "../support/go-tools.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";
import { buildParameters, simulateAzure } from "../support/simulated-azure.ts";

const bicep = await findBicepOrSkip();
const folder = mkdtempSync(join(tmpdir(), "key-vault-test-"));
let path: string;

beforeAll(async () => {
  path = [await findTools("cluster"), process.env.PATH].join(delimiter);
}, buildTimeout);
afterAll(() => rmSync(folder, { recursive: true }));

/** Deploys aks.bicepparam. */
async function deploy(variables: Readonly<Record<string, string>> = {}) {
  const azure = simulateAzure();
  const env = { ...environment, ...variables };
  const compiled = await buildParameters(bicep ?? "", "infra/bicep/parameters/aks.bicepparam", env);
  const { outputs } = await azure.deploy("aks", compiled);
  const [cluster] = azure.list("Microsoft.ContainerService/managedClusters");
  const identity = at(cluster, "properties.addonProfiles.azureKeyvaultSecretsProvider.identity");
  return {
    outputs,
    addon: { clientId: textAt(identity, "clientId"), objectId: textAt(identity, "objectId") },
    /** Principals with the role Key Vault Secrets User on demosecret. */
    readers: azure
      .list("Microsoft.Authorization/roleAssignments")
      .filter(({ id, properties }) => /\/secrets\/demosecret\//.test(id) && properties.principalType)
      .filter(({ properties }) =>
        textAt(properties, "roleDefinitionId").endsWith("4633458b-17de-408a-b874-0445c86b69e6"),
      )
      .map(({ properties }) => properties.principalId),
    welcome: azure.list("Microsoft.ManagedIdentity/userAssignedIdentities").find(({ name }) => name === "id-welcome")
      ?.properties,
  };
}

/** A copy of infra/ in which the overlay has the feature key-vault-addon-identity. */
function copyWithFeature(name: string): string {
  const copy = join(folder, name);
  mkdirSync(copy);
  cpSync(join(root, "infra"), join(copy, "infra"), { recursive: true });
  const file = join(copy, "infra/kubernetes/overlays/aks/kustomization.yaml");
  const overlay = parse(readFileSync(file, "utf8"));
  const swap = (feature: string) => feature.replace(/\/key-vault$/, "/key-vault-addon-identity");
  writeFileSync(file, stringify({ ...overlay, components: overlay.components.map(swap) }));
  return copy;
}

function parametersIn(manifests: string): object {
  const objects: unknown[] = parseAllDocuments(manifests).map((document) => document.toJS());
  const classes = objects.filter((object) => field(object, "kind") === "SecretProviderClass");
  expect(classes).toHaveLength(1);
  return at(classes[0], "spec.parameters") as object;
}

describe("docs/operate/key-vault.md on standalone/key-vault", () => {
  const copy = join(folder, "alone");
  const block = (text: string) =>
    readBlocks("docs/operate/key-vault.md").find(({ command }) => command.includes(text))?.command ??
    expect.fail(`no block: ${text}`);
  /** Runs blocks of the page without az's and kubectl's own work, then renders the folder. */
  async function render(...blocks: readonly string[]): Promise<string> {
    const fake = [
      'az() { case "$*" in *tenantId*) echo the-tenant ;; *addonProfiles*clientId*) echo the-addon ;; *clientId*) echo welcome ;; esac; }',
      "kubectl() { :; }",
      "export GROUP=g CLUSTER_GROUP=g CLUSTER=c VAULT=kv-demo IMAGES=registry.example.com/samples vault=id",
    ];
    const last = "command kubectl kustomize infra/kubernetes/standalone/key-vault";
    const env = { ...process.env, PATH: path };
    const script = [...fake, ...blocks, last].join("\n");
    return (await promisify(execFile)("bash", ["-euc", script], { cwd: copy, env, maxBuffer: 10e6 })).stdout;
  }
  beforeAll(() => {
    mkdirSync(copy);
    cpSync(join(root, "infra"), join(copy, "infra"), { recursive: true });
  });

  test("its commands fill in every setting", async () => {
    const manifests = await render(block("setting()"));
    expect(parametersIn(manifests)).toMatchObject({
      keyvaultName: "kv-demo",
      tenantId: "the-tenant",
      clientID: "welcome",
    });
    expect(manifests).toMatch(/image: registry\.example\.com\/samples\/welcome:\d/);
    expect(manifests).not.toMatch(/YOUR-|REGISTRY\.azurecr\.io/);
  });

  test("its commands for the identity of the add-on replace the feature, and fill in the client id", async () => {
    const manifests = await render(block("setting()"), block("KEY_VAULT_ADDON_CLIENT_ID"), block("addon-identity|"));
    expect(parametersIn(manifests)).toMatchObject({
      useVMManagedIdentity: "true",
      userAssignedIdentityID: "the-addon",
    });
    expect(parametersIn(manifests)).not.toHaveProperty("clientID");
  });
});

describe.skipIf(!bicep)("features/key-vault-addon-identity", { timeout: 120_000 }, () => {
  let deployed: Awaited<ReturnType<typeof deploy>>;
  beforeAll(async () => {
    deployed = await deploy({ KEY_VAULT_ADDON_IDENTITY: "true" });
  }, 120_000);
  const expected = () => ({
    useVMManagedIdentity: "true",
    userAssignedIdentityID: deployed.addon.clientId,
    keyvaultName: deployed.outputs.AZURE_KEY_VAULT_NAME,
    tenantId: deployed.outputs.AZURE_TENANT_ID,
  });

  test("with KEY_VAULT_ADDON_IDENTITY, the object id of the add-on's identity can read demosecret, like welcome's", () => {
    expect(deployed.readers.sort()).toEqual([deployed.addon.objectId, deployed.welcome?.principalId].sort());
    expect(deployed.addon.objectId).not.toBe(deployed.addon.clientId);
  });

  test("without KEY_VAULT_ADDON_IDENTITY, only welcome's identity can read demosecret", async () => {
    const { readers, welcome } = await deploy();
    expect(readers).toEqual([welcome?.principalId]);
  });

  test("the commands of docs/deploy/kubernetes.md give the driver the client id of the identity that has the role", async () => {
    const copy = copyWithFeature("by-hand");
    const [block] = readBlocks("docs/deploy/kubernetes.md").filter(({ command }) => /^output\(\)/.test(command));
    writeFileSync(join(copy, "outputs.json"), JSON.stringify(deployed.outputs));
    const az = `az() { node -p 'require("./outputs.json")[process.argv[1]]' "$(sed -n 's/.*properties.outputs.\\([A-Z_]*\\).value.*/\\1/p' <<< "$*")"; }`;
    const script = `${az}\n${block?.command}\nkubectl kustomize infra/kubernetes/overlays/aks`;
    const env = { ...process.env, PATH: path, AZURE_ENV_NAME: "samples" };
    const { stdout } = await promisify(execFile)("bash", ["-euc", script], { cwd: copy, env, maxBuffer: 10e6 });
    expect(parametersIn(stdout)).toMatchObject(expected());
    expect(parametersIn(stdout)).not.toHaveProperty("clientID");
  });

  test("azd's hook gives the driver the same client id", async () => {
    const project = join(copyWithFeature("azd"), "infra/azd/aks");
    const hook = listHooks(project).find(({ name }) => name === "predeploy of welcome") ?? expect.fail("no hook");
    const bin = join(folder, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "azd"), "#!/bin/sh\n", { mode: 0o755 });
    await runHook(hook, project, {
      ...deployed.outputs,
      PATH: [bin, path].join(delimiter),
      KUBECONFIG: join(folder, "missing"),
      AZURE_ENV_NAME: "samples",
      [imageVariable("welcome")]: "cr.azurecr.io/welcome:azd-deploy-1",
    });
    const manifests = readFileSync(join(project, "manifests/welcome/manifests.yaml"), "utf8");
    expect(parametersIn(manifests)).toMatchObject(expected());
  });
});
