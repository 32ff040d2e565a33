// Runs the shell blocks of docs/deploy/az.md with the Azure CLI against a simulator of Azure Resource Manager. A
// deployment to the simulator creates the resources that the Bicep compiler predicts.
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { field } from "../../services/runtime/field.ts";
import type { Subscription } from "../../stand-ins/azure/resource-manager.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { parseBody } from "../simulators/resource-manager/body.ts";
import { createResources, type Resources } from "../simulators/resource-manager/resources.ts";
import { at, listAt, objectAt, textAt } from "../support/at.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";
import { findBicepOrSkip, openWorkshop, type Plan, subscription, type Workshop } from "../support/bicep.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const blocks = readBlocks("docs/deploy/az.md").map(({ command }) => command);
/** Commands that need a real subscription: sign-in, image builds, logs, nodes, secrets, policy findings. */
const needsAzure =
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
    // The body that the first deployment must send; it compiles while the Azure CLI starts.
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

  /** The plan of the template with the parameters that az sent. az sends them twice: to validate and to deploy. */
  async function evaluate(parameters: object): Promise<Plan> {
    const lines = Object.entries(parameters).map(([name, { value }]) => `param ${name} = ${quote(value)}`);
    const text = ["using 'main.bicep'", ...lines].join("\n");
    writeFileSync(join(workshop.folder, "infra/bicep/sent.bicepparam"), text);
    const evaluated = plans.get(text) ?? (await workshop.plan("infra/bicep/sent.bicepparam"));
    plans.set(text, evaluated);
    return evaluated;
  }

  /** In the plan, the id of group-lister's role on the subscription is an expression; this gives it a value. */
  function toSubscription(resource: Plan["resources"][number]) {
    if (!resource.id.startsWith("[")) return resource;
    const lister = plan.resources.find(({ name }) => name === "id-group-lister");
    return {
      ...resource,
      id: `/subscriptions/${subscription}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`,
      properties: { ...resource.properties, principalId: `[reference('${lister?.id}', '2024-11-30').principalId]` },
    };
  }

  /** Runs the next blocks of the page, up to the first one that contains the text, and resolves with their output. */
  async function walkThrough(text: string): Promise<string> {
    seen = azure.requests.length;
    const walked = blocks.splice(0, 1 + blocks.findIndex((block) => block.includes(text)));
    expect(walked).not.toEqual([]);
    return az.run(walked.filter((block) => !needsAzure.test(block)).join("\n"));
  }

  /** Bodies of the requests since walkThrough started. */
  const sent = (method: string, path: RegExp) =>
    azure.requests
      .slice(seen)
      .filter((request) => request.method === method && path.test(request.path.replace(/\?.*/, "")))
      .map(({ body }): unknown => withoutNulls(parseBody(body)));

  const deployment = (name: string) => at(sent("PUT", new RegExp(`/deployments/${name}$`)), "0.properties");
  const planned = (id: RegExp) => plan.resources.find((resource) => id.test(resource.id))?.properties;
  const find = (type: string) => resources.store.list(`/subscriptions/${subscription}`, type);
  const welcome = () => find("Microsoft.App/containerApps").find(({ name }) => name === "welcome")?.properties;
  const traffic = () =>
    listAt(welcome(), "configuration.ingress.traffic").map(
      (share) => `${field(share, "label")} ${field(share, "revisionName")} ${field(share, "weight")}`,
    );

  describe("Container Apps", () => {
    test("the first deployment sends the compiled parameter file and creates no app", async () => {
      await walkThrough("az deployment sub create");
      const compiled = JSON.parse((await compiling).stdout);
      template = JSON.parse(compiled.templateJson);
      const { parameters } = withoutNulls(JSON.parse(compiled.parametersJson));
      expect(deployment("dapr-samples")).toEqual({ mode: "Incremental", template, parameters });
      expect(empty.groups.map(({ name }) => name)).toEqual(["rg-dapr-samples"]);
      expect(find("Microsoft.App/containerApps")).toEqual([]);
    });

    test("the second deployment, with the registry and the caller's address, creates the apps", async () => {
      await az.run("export MY_ADDRESS=198.51.100.7");
      await walkThrough("ipify");
      await walkThrough("az deployment sub create");
      const [registry] = find("Microsoft.ContainerRegistry/registries");
      expect(at(deployment("dapr-samples"), "parameters.hosting.value")).toMatchObject({
        access: { who: "addresses", ranges: ["198.51.100.7/32"] },
        apps: { stateApi: { image: `${registry?.name}.azurecr.io/state-api:v1` } },
      });
      const names = find("Microsoft.App/containerApps").map(({ name }) => name);
      expect(names.sort()).toEqual(["group-lister", "state-api", "welcome"]);
    });

    test("the block sets DOMAIN to the environment's default domain", async () => {
      await walkThrough("DOMAIN=");
      const domain = (await az.run("echo $DOMAIN")).trim();
      for (const { name, properties } of find("Microsoft.App/containerApps")) {
        expect(at(properties, "configuration.ingress.fqdn")).toBe(`${name}.${domain}`);
      }
    });

    test("a new WELCOME creates a revision with a label and without traffic, and changes nothing else", async () => {
      await walkThrough("--set-env-vars");
      const container = objectAt(planned(/\/containerApps\/welcome$/), "template.containers.0");
      const [update] = sent("PATCH", /\/containerApps\/welcome$/);
      expect(field(update, "properties")).toEqual({
        template: {
          revisionSuffix: "v2",
          containers: [{ ...container, env: [{ name: "WELCOME", value: "Hello from v2!" }] }],
        },
      });
      expect(field(welcome(), "latestRevisionName")).toBe("welcome--v2");
      expect(traffic()).toEqual(["blue welcome--v1 100", "green welcome--v2 0"]);
    });

    test("traffic moves by label, 20 percent first", async () => {
      await walkThrough("ingress traffic set");
      const weights = sent("PATCH", /\/containerApps\/welcome$/).map((update) =>
        listAt(update, "properties.configuration.ingress.traffic").map((share) => Number(field(share, "weight"))),
      );
      expect(weights).toEqual([
        [80, 20],
        [0, 100],
      ]);
      expect(traffic()).toEqual(["blue welcome--v1 0", "green welcome--v2 100"]);
    });

    test("a label swap moves no traffic", async () => {
      const printed = await walkThrough("label swap");
      expect(traffic()).toEqual(["green welcome--v1 0", "blue welcome--v2 100"]);
      expect(printed).toBe("welcome--v1\t0\nwelcome--v2\t100\n");
    });

    test("a deployment with the new REVISION adds no further revision", async () => {
      await walkThrough("export REVISION");
      expect(traffic()).toEqual(["blue welcome--v2 100"]);
      expect(find("Microsoft.App/containerApps/revisions").filter(({ id }) => id.includes("/welcome/"))).toHaveLength(
        2,
      );
    });
  });

  describe("Container Apps, resource by resource", () => {
    test("the commands create state-api's resources with the template's settings", async () => {
      await walkThrough("az containerapp create");
      const [group] = sent("PUT", /\/resourceGroups\/rg-by-hand$/i);
      expect(group).toEqual({ location: "westeurope" });

      const [account] = sent("PUT", /\/databaseAccounts\/[^/]+$/);
      const plannedAccount = planned(/\/databaseAccounts\/[^/]+$/);
      expect(field(account, "properties")).toMatchObject({
        disableLocalAuth: field(plannedAccount, "disableLocalAuth"),
        minimalTlsVersion: field(plannedAccount, "minimalTlsVersion"),
        consistencyPolicy: { defaultConsistencyLevel: "Session" },
      });
      const [container] = sent("PUT", /\/containers\/statestore$/);
      expect(field(container, "properties")).toMatchObject({
        resource: field(planned(/\/containers\/statestore$/), "resource"),
      });

      const [component] = sent("PUT", /\/daprComponents\/statestore$/);
      const plannedComponent = planned(/\/daprComponents\/statestore$/);
      const { metadata, secrets, ...common } = { metadata: [], secrets: undefined, ...plannedComponent };
      expect(secrets).toEqual([]);
      expect(field(component, "properties")).toMatchObject(common);
      const names = (list: unknown[]) => list.map((item) => field(item, "name"));
      expect(names(listAt(component, "properties.metadata"))).toEqual(names(metadata));

      const [app] = sent("PUT", /\/containerApps\/state-api$/);
      const plannedApp = planned(/\/containerApps\/state-api$/);
      const template = { ...objectAt(plannedApp, "template"), revisionSuffix: "v1" };
      expect(at(app, "properties.template")).toEqual(template);
      expect(field(plannedApp, "configuration")).toMatchObject({
        dapr: at(app, "properties.configuration.dapr"),
        ingress: at(app, "properties.configuration.ingress"),
      });
    });

    test("the commands assign the same roles as the template", async () => {
      const [data] = sent("PUT", /\/sqlRoleAssignments\/[^/]+$/);
      const [pull] = sent("PUT", /registries\/[^/]+\/providers\/Microsoft.Authorization\/roleAssignments\/[^/]+$/);
      const [identity] = find("Microsoft.ManagedIdentity/userAssignedIdentities").filter(({ id }) =>
        id.includes("by-hand"),
      );
      for (const assignment of [data, pull]) {
        expect(at(assignment, "properties.principalId")).toBe(identity?.properties.principalId);
        expect(plan.text).toContain(textAt(assignment, "properties.roleDefinitionId").split("/").at(-1));
      }
      expect(at(data, "properties.scope")).toMatch(/\/dbs\/dapr-db\/colls\/statestore$/);
    });

    test("az sends containerapps-key.yaml unchanged, never prints the key, and rejects a component file for sidecars", async () => {
      const set =
        "az containerapp env dapr-component set -g $GROUP -n cae-by-hand --dapr-component-name statestore --yaml";
      seen = azure.requests.length;
      const printed = await az.run(`${set} components/cosmos/containerapps-key.yaml`);
      const [component] = sent("PUT", /\/daprComponents\/statestore$/);
      const file = readFileSync(join(root, "components/cosmos/containerapps-key.yaml"), "utf8");
      expect(field(component, "properties")).toEqual({ ...parse(file), ignoreErrors: false });
      expect(printed).not.toContain("YOUR-KEY");
      await expect(az.run(`${set} components/cosmos/sidecar-keyless/statestore.yaml`)).rejects.toThrow(/Invalid YAML/);
    });

    test("deleting the group leaves the group of the template", async () => {
      await walkThrough("az group delete");
      expect(empty.groups.map(({ name }) => name)).toEqual(["rg-dapr-samples"]);
    });
  });

  describe("AKS", () => {
    test("the deployment sends the same template and makes AZURE_PRINCIPAL_ID the cluster administrator", async () => {
      await az.run("export AZURE_PRINCIPAL_ID=33333333-3333-3333-3333-333333333333");
      await walkThrough("az deployment sub create");
      expect(field(deployment("dapr-on-aks"), "template")).toEqual(template);
      expect(at(deployment("dapr-on-aks"), "parameters.hosting.value.on")).toBe("aks");
      const assignments = find("Microsoft.Authorization/roleAssignments").map(
        ({ properties }) => properties.principalId,
      );
      expect(assignments).toContain("33333333-3333-3333-3333-333333333333");
    });

    test("the page names the cluster, its zone and the policy as the deployment does", async () => {
      expect(await walkThrough("--query properties.outputs --output yaml")).toContain("AZURE_AKS_CLUSTER_NAME");
      expect(await walkThrough("az aks show")).toContain("zone: null");
      expect(await walkThrough("az policy assignment show")).toContain("value: deny");
    });
  });

  test("the clean-up leaves no resource, no role assignment and no deployment", async () => {
    const commands = blocks.find((block) => block.includes("az group delete"));
    await walkThrough("az group delete");
    await az.run(`export AZURE_ENV_NAME=dapr-samples\n${commands}`);
    expect(empty.groups).toEqual([]);
    const left = [...plans.values()]
      .flatMap((evaluated) => evaluated.resources)
      .filter(({ id }) => resources.store.find(id));
    expect(left).toEqual([]);
    expect(find("Microsoft.Authorization/roleAssignments")).toEqual([]);
    expect(find("Microsoft.Resources/deployments")).toEqual([]);
  });

  test("every block that was not run needs a real subscription", () => {
    expect(blocks.filter((block) => !needsAzure.test(block))).toEqual([]);
  });

  test("az sends requests only to the simulator and aka.ms", () => {
    // Bicep looks for the index of public modules at aka.ms, although the templates use none.
    expect(az.refusedHosts.filter((host) => host !== "aka.ms:443")).toEqual([]);
  });
});

/** Removes null properties: az sends null for each option that is not set. */
function withoutNulls(value: unknown) {
  return JSON.parse(JSON.stringify(value), (_name, inner) => inner ?? undefined);
}

/** A JSON value as a Bicep expression. */
function quote(value: unknown): string {
  return `json('${JSON.stringify(value).replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("${", "\\${")}')`;
}
