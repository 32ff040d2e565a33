// docs/deploy/az.md does what it says: bash runs its blocks with the real Azure CLI, against a stand-in of Azure Resource Manager in
// which a deployment makes what the real compiler says that it makes.
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Subscription } from "../../stand-ins/azure/resource-manager.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { parseBody } from "../simulators/resource-manager/deployments.ts";
import { createResources, type Resources } from "../simulators/resource-manager/resources.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";
import { findBicepOrSkip, openWorkshop, type Plan, subscription, type Workshop } from "../support/bicep.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const blocks = readBlocks("docs/deploy/az.md").map(({ command }) => command);
/** What only a real Azure has: people, images, replicas, logs, nodes, the data of vaults, findings. */
const elsewhere =
  /^az login|^curl|ipify|az acr build|az containerapp logs|az rest|az ad|az aks (install|command|stop)|az keyvault|az policy state/m;

const bicep = await findBicepOrSkip();

describe.skipIf(!bicep)("docs/deploy/az.md", { timeout: 120_000 }, () => {
  const empty: Subscription = { id: subscription, name: "Empty", groups: [] };
  const plans = new Map<string, Plan>();
  let plan: Plan;
  let compiling: Promise<{ stdout: string }>;
  let template: unknown;
  let workshop: Workshop;
  let resources: Resources;
  let azure: Azure;
  let az: AzureCli;
  let seen = 0;

  beforeAll(async () => {
    workshop = openWorkshop(bicep ?? "");
    resources = createResources(async (_template, parameters) => {
      plan = await evaluate(parameters);
      const registry = plan.resources.find(({ type }) => type === "Microsoft.ContainerRegistry/registries");
      const server = `${registry?.name}.azurecr.io`;
      return {
        resources: plan.resources.map(toSubscription),
        outputs: { ...plan.outputs, AZURE_CONTAINER_REGISTRY_ENDPOINT: server },
      };
    });
    // Meanwhile, what the first deployment has to send.
    compiling = promisify(execFile)(
      bicep ?? "",
      ["build-params", "infra/bicep/parameters/containerapps.bicepparam", "--stdout"],
      {
        cwd: workshop.folder,
        env: { HOME: process.env.HOME, AZURE_LOCATION: "westeurope", DEMO_SECRET: "demovalue" },
        maxBuffer: 16 * 1024 ** 2,
      },
    );
    azure = await startAzure({ subscriptions: [empty], resources });
    az = await startAzureCli(azure, bicep ?? "");
  });
  afterAll(async () => {
    az?.close();
    await azure?.close();
    workshop?.close();
  });

  /** What the template makes of the parameters that az sent; az has it validated first and deployed then. */
  async function evaluate(parameters: object): Promise<Plan> {
    const lines = Object.entries(parameters).map(([name, { value }]) => `param ${name} = ${quote(value)}`);
    const text = ["using 'main.bicep'", ...lines].join("\n");
    writeFileSync(join(workshop.folder, "infra/sent.bicepparam"), text);
    const made = plans.get(text) ?? (await workshop.plan("infra/sent.bicepparam"));
    plans.set(text, made);
    return made;
  }

  /** Where the plan has what only a deployment knows, even for an id: group-lister's role on the subscription. */
  function toSubscription(resource: Plan["resources"][number]) {
    if (!resource.id.startsWith("[")) return resource;
    const lister = plan.resources.find(({ name }) => name === "id-group-lister");
    return {
      ...resource,
      id: `/subscriptions/${subscription}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`,
      properties: { ...resource.properties, principalId: `[reference('${lister?.id}', '2024-11-30').principalId]` },
    };
  }

  /** Goes on with the page through the first block that has the text, and resolves with what was printed. */
  async function walkThrough(text: string): Promise<string> {
    seen = azure.requests.length;
    const walked = blocks.splice(0, 1 + blocks.findIndex((block) => block.includes(text)));
    expect(walked).not.toEqual([]);
    return az.run(walked.filter((block) => !elsewhere.test(block)).join("\n"));
  }

  /** Bodies of requests on that walk. */
  const sent = (method: string, path: RegExp) =>
    azure.requests
      .slice(seen)
      .filter((request) => request.method === method && path.test(request.path.replace(/\?.*/, "")))
      .map(({ body }) => withoutNulls(parseBody(body)));

  const deployment = (name: string) => Object(sent("PUT", new RegExp(`/deployments/${name}$`))[0]).properties;
  const planned = (id: RegExp) => Object(plan.resources.find((resource) => id.test(resource.id))?.properties);
  const find = (type: string) => resources.store.list(`/subscriptions/${subscription}`, type);
  const welcome = () => Object(find("Microsoft.App/containerApps").find(({ name }) => name === "welcome")?.properties);
  const traffic = () =>
    welcome().configuration.ingress.traffic.map(
      ({ label, revisionName, weight }: Record<string, string>) => `${label} ${revisionName} ${weight}`,
    );

  describe("Container Apps", () => {
    test("the first deployment sends what the parameter file compiles to, and makes no app", async () => {
      await walkThrough("az deployment sub create");
      const compiled = JSON.parse((await compiling).stdout);
      template = JSON.parse(compiled.templateJson);
      const { parameters } = withoutNulls(JSON.parse(compiled.parametersJson));
      expect(deployment("dapr-samples")).toEqual({ mode: "Incremental", template, parameters });
      expect(empty.groups.map(({ name }) => name)).toEqual(["rg-dapr-samples"]);
      expect(find("Microsoft.App/containerApps")).toEqual([]);
    });

    test("the second one, which knows the registry and the caller's address, adds the apps", async () => {
      await az.run("export MY_ADDRESS=198.51.100.7");
      await walkThrough("ipify");
      await walkThrough("az deployment sub create");
      const { access, apps } = deployment("dapr-samples").parameters.hosting.value;
      expect(access).toEqual({ who: "addresses", ranges: ["198.51.100.7/32"] });
      const [registry] = find("Microsoft.ContainerRegistry/registries");
      expect(apps.stateApi.image).toBe(`${registry?.name}.azurecr.io/state-api:v1`);
      const names = find("Microsoft.App/containerApps").map(({ name }) => name);
      expect(names.sort()).toEqual(["group-lister", "state-api", "welcome"]);
    });

    test("the addresses for curl are those that the apps have got", async () => {
      await walkThrough("DOMAIN=");
      const domain = (await az.run("echo $DOMAIN")).trim();
      for (const { name, properties } of find("Microsoft.App/containerApps")) {
        expect(Object(properties).configuration.ingress.fqdn).toBe(`${name}.${domain}`);
      }
    });

    test("a new WELCOME makes a revision that has a label and no traffic, and changes nothing else", async () => {
      await walkThrough("--set-env-vars");
      const { containers } = planned(/\/containerApps\/welcome$/).template;
      const [update] = sent("PATCH", /\/containerApps\/welcome$/);
      expect(update.properties).toEqual({
        template: {
          revisionSuffix: "v2",
          containers: [{ ...containers[0], env: [{ name: "WELCOME", value: "Hello from v2!" }] }],
        },
      });
      expect(welcome().latestRevisionName).toBe("welcome--v2");
      expect(traffic()).toEqual(["blue welcome--v1 100", "green welcome--v2 0"]);
    });

    test("the traffic goes over by labels, a part first", async () => {
      await walkThrough("ingress traffic set");
      const weights = sent("PATCH", /\/containerApps\/welcome$/).map(({ properties }) =>
        properties.configuration.ingress.traffic.map(({ weight }: { weight: unknown }) => Number(weight)),
      );
      expect(weights).toEqual([
        [80, 20],
        [0, 100],
      ]);
      expect(traffic()).toEqual(["blue welcome--v1 0", "green welcome--v2 100"]);
    });

    test("a swap exchanges the labels and leaves the traffic where it is", async () => {
      const printed = await walkThrough("label swap");
      expect(traffic()).toEqual(["green welcome--v1 0", "blue welcome--v2 100"]);
      expect(printed).toBe("welcome--v1\t0\nwelcome--v2\t100\n");
    });

    test("the template that is told of the release finds it made, and makes no other", async () => {
      await walkThrough("export REVISION");
      expect(traffic()).toEqual(["blue welcome--v2 100"]);
      expect(find("Microsoft.App/containerApps/revisions").filter(({ id }) => id.includes("/welcome/"))).toHaveLength(
        2,
      );
    });
  });

  describe("Step by step", () => {
    test("each resource is what the template makes of it", async () => {
      await walkThrough("az containerapp create");
      const [group] = sent("PUT", /\/resourceGroups\/rg-by-hand$/i);
      expect(group).toEqual({ location: "westeurope" });

      const [account] = sent("PUT", /\/databaseAccounts\/[^/]+$/);
      const { disableLocalAuth, minimalTlsVersion } = planned(/\/databaseAccounts\/[^/]+$/);
      expect(account.properties).toMatchObject({ disableLocalAuth, minimalTlsVersion });
      expect(account.properties.consistencyPolicy.defaultConsistencyLevel).toBe("Session");
      const [container] = sent("PUT", /\/containers\/statestore$/);
      const { resource } = planned(/\/containers\/statestore$/);
      expect(container.properties.resource).toMatchObject(resource);

      const [component] = sent("PUT", /\/daprComponents\/statestore$/);
      const { metadata, secrets, ...common } = planned(/\/daprComponents\/statestore$/);
      expect(secrets).toEqual([]);
      expect(component.properties).toMatchObject(common);
      const names = (list: { name: string }[]) => list.map((item) => item.name);
      expect(names(component.properties.metadata)).toEqual(names(metadata));

      const [app] = sent("PUT", /\/containerApps\/state-api$/);
      const { template, configuration } = planned(/\/containerApps\/state-api$/);
      expect(app.properties.template).toEqual({ ...template, revisionSuffix: "v1" });
      expect(configuration).toMatchObject({
        dapr: app.properties.configuration.dapr,
        ingress: app.properties.configuration.ingress,
      });
    });

    test("what may what is what the template says, too", async () => {
      const [data] = sent("PUT", /\/sqlRoleAssignments\/[^/]+$/);
      const [pull] = sent("PUT", /registries\/[^/]+\/providers\/Microsoft.Authorization\/roleAssignments\/[^/]+$/);
      const [identity] = find("Microsoft.ManagedIdentity/userAssignedIdentities").filter(({ id }) =>
        id.includes("by-hand"),
      );
      for (const { principalId, roleDefinitionId } of [data.properties, pull.properties]) {
        expect(principalId).toBe(identity?.properties.principalId);
        expect(plan.text).toContain(roleDefinitionId.split("/").at(-1));
      }
      expect(data.properties.scope).toMatch(/\/dbs\/dapr-db\/colls\/statestore$/);
    });

    test("the component with a key is the file, whose key nobody reads again; the form for sidecars is refused", async () => {
      const set =
        "az containerapp env dapr-component set -g $GROUP -n cae-by-hand --dapr-component-name statestore --yaml";
      seen = azure.requests.length;
      const printed = await az.run(`${set} components/cosmos/containerapps-key.yaml`);
      const [component] = sent("PUT", /\/daprComponents\/statestore$/);
      const file = readFileSync(join(root, "components/cosmos/containerapps-key.yaml"), "utf8");
      expect(component.properties).toEqual({ ...parse(file), ignoreErrors: false });
      expect(printed).not.toContain("YOUR-KEY");
      await expect(az.run(`${set} components/cosmos/sidecar-keyless/statestore.yaml`)).rejects.toThrow(/Invalid YAML/);
    });

    test("the group goes, and nothing of the other", async () => {
      await walkThrough("az group delete");
      expect(empty.groups.map(({ name }) => name)).toEqual(["rg-dapr-samples"]);
    });
  });

  describe("AKS", () => {
    test("the deployment has the same template and makes a cluster for the administrator", async () => {
      await az.run("export AZURE_PRINCIPAL_ID=33333333-3333-3333-3333-333333333333");
      await walkThrough("az deployment sub create");
      expect(deployment("dapr-on-aks").template).toEqual(template);
      expect(deployment("dapr-on-aks").parameters.hosting.value.on).toBe("aks");
      const assignments = find("Microsoft.Authorization/roleAssignments").map(
        ({ properties }) => properties.principalId,
      );
      expect(assignments).toContain("33333333-3333-3333-3333-333333333333");
    });

    test("cluster and policy are found under the names on the page", async () => {
      expect(await walkThrough("--query properties.outputs --output yaml")).toContain("AZURE_AKS_CLUSTER_NAME");
      expect(await walkThrough("az aks show")).toContain("zone: null");
      expect(await walkThrough("az policy assignment show")).toContain("value: deny");
    });
  });

  test("back to nothing: not one resource is left, no role and no deployment", async () => {
    const commands = blocks.find((block) => block.includes("az group delete"));
    await walkThrough("az group delete");
    await az.run(`export AZURE_ENV_NAME=dapr-samples\n${commands}`);
    expect(empty.groups).toEqual([]);
    const left = [...plans.values()].flatMap((made) => made.resources).filter(({ id }) => resources.store.find(id));
    expect(left).toEqual([]);
    expect(find("Microsoft.Authorization/roleAssignments")).toEqual([]);
    expect(find("Microsoft.Resources/deployments")).toEqual([]);
  });

  test("whatever else is on the page needs what only a real Azure has", () => {
    expect(blocks.filter((block) => !elsewhere.test(block))).toEqual([]);
  });

  test("nobody but the stand-in was asked for anything", () => {
    // Bicep looks there for an index of public modules, of which there are none in the templates.
    expect(az.strangers.filter((host) => host !== "aka.ms:443")).toEqual([]);
  });
});

/** az writes null for what was not said. */
function withoutNulls(value: unknown) {
  return JSON.parse(JSON.stringify(value), (_name, inner) => inner ?? undefined);
}

/** A value of JSON as Bicep has it. */
function quote(value: unknown): string {
  return `json('${JSON.stringify(value).replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("${", "\\${")}')`;
}
