// Runs the shell blocks of docs/deploy/az.md with the Azure CLI against a simulator of Azure Resource Manager, which
// evaluates the templates that az sends, and has the rules of Azure: test/infra/azure-rules.test.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { field } from "../../services/runtime/field.ts";
import type { Subscription } from "../../stand-ins/azure/resource-manager.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { parseBody } from "../simulators/resource-manager/body.ts";
import { removeNulls } from "../simulators/resource-manager/json.ts";
import { createResources, type Resources } from "../simulators/resource-manager/resources.ts";
import { type Storage, startStorage } from "../simulators/resource-manager/storage.ts";
import type { Resource } from "../simulators/resource-manager/store.ts";
import { at, listAt, objectAt, textAt } from "../support/at.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";
import { findBicepOrSkip, subscription } from "../support/bicep.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";
import { buildParameters, describeRevisions } from "../support/simulated-azure.ts";

const blocks = readBlocks("docs/deploy/az.md").map(({ command }) => command);
/** Commands that need more than Resource Manager: sign-in, logs, Docker, nodes, secrets, quotas, policy findings. */
const needsAzure =
  /^az login|^curl|ipify|az acr login|az containerapp logs|az keyvault secret|az rest|az ad|az aks (install|command|stop)|az policy state|az vm/m;

const bicep = await findBicepOrSkip();

describe.skipIf(!bicep)("docs/deploy/az.md", { timeout: 120_000 }, () => {
  const empty: Subscription = { id: subscription, name: "Empty", groups: [] };
  const broken = new Set<string>();
  let template: unknown;
  let storage: Storage;
  let resources: Resources;
  let azure: Azure;
  let az: AzureCli;
  let seen = 0;
  let vault = "";
  let next = 0;
  const ran = new Set<string>();

  beforeAll(async () => {
    storage = await startStorage();
    resources = createResources({
      storage: storage.url,
      isReady: (image) => !broken.has(image.replace(/^.*\//, "")),
    });
    azure = await startAzure({ record: true, subscriptions: [empty], resources });
    az = await startAzureCli(azure, bicep ?? "");
    await az.run("export MY_ADDRESS=198.51.100.7");
  });
  afterAll(async () => {
    az?.close();
    await azure?.close();
    await storage?.close();
  });

  /** Runs blocks of the page, except what needs Azure, and resolves with their output. */
  function run(...walked: readonly string[]): Promise<string> {
    for (const block of walked) ran.add(block);
    return az.run(walked.filter((block) => !needsAzure.test(block)).join("\n"));
  }

  /** Runs the next blocks of the page, up to the first one that contains the text. */
  function walkThrough(text: string): Promise<string> {
    seen = azure.requests.length;
    const end = blocks.findIndex((block, index) => index >= next && block.includes(text));
    const walked = blocks.slice(next, end + 1);
    expect(walked, text).not.toEqual([]);
    next = end + 1;
    return run(...walked);
  }

  const blockWith = (text: string) => blocks.find((block) => block.includes(text)) ?? expect.fail(`no block: ${text}`);

  /** Bodies of the requests since walkThrough started. */
  const sent = (method: string, path: RegExp) =>
    azure.requests
      .slice(seen)
      .filter((request) => request.method === method && path.test(request.path.replace(/\?.*/, "")))
      .map(({ body }): unknown => removeNulls(parseBody(body)));

  const deployment = (name: string) => at(sent("PUT", new RegExp(`/deployments/${name}$`)), "0.properties");
  const find = (type: string, name?: string) =>
    resources.store
      .list(`/subscriptions/${subscription}`, type)
      .filter((resource) => name === undefined || resource.name === name);
  const only = (type: string, name?: string): Resource => {
    const [found, ...others] = find(type, name);
    return found && others.length === 0 ? found : expect.fail(`${others.length + Number(!!found)} of ${type} ${name}`);
  };
  const app = (name: string) => only("Microsoft.App/containerApps", name).properties;
  const revisions = () => describeRevisions(find("Microsoft.App/containerApps/revisions"));
  /** What the ingress of welcome admits. */
  const callers = () => at(app("welcome"), "configuration.ingress.ipSecurityRestrictions");
  const greeting = () =>
    listAt(app("welcome"), "template.containers.0.env").find((variable) => field(variable, "name") === "WELCOME");

  describe("Container Apps", () => {
    test("the first deployment sends the compiled parameter file and creates no app", async () => {
      await walkThrough("az deployment sub create");
      const compiled = JSON.parse(
        await buildParameters(bicep ?? "", "infra/bicep/parameters/containerapps.bicepparam", {
          AZURE_LOCATION: "westeurope",
          DEMO_SECRET: "demovalue",
        }),
      );
      template = JSON.parse(compiled.templateJson);
      const parameters = at(removeNulls(JSON.parse(compiled.parametersJson)), "parameters");
      expect(deployment("dapr-samples")).toEqual({ mode: "Incremental", template, parameters });
      expect(empty.groups.map(({ name }) => name)).toEqual(["rg-dapr-samples"]);
      expect(find("Microsoft.App/containerApps")).toEqual([]);
    });

    test("az acr build uploads the sources and builds each service with its build argument", async () => {
      await walkThrough("az acr build");
      expect(sent("POST", /\/scheduleRun$/)).toEqual(
        ["state-api", "group-lister", "welcome"].map((service) =>
          expect.objectContaining({
            type: "DockerBuildRequest",
            imageNames: [`${service}:v1`],
            arguments: [expect.objectContaining({ name: "SERVICE", value: service })],
            isPushEnabled: true,
          }),
        ),
      );
      expect(storage.uploads).toHaveLength(3);
    });

    const mine = { external: true, ipSecurityRestrictions: [{ action: "Allow", ipAddressRange: "198.51.100.7/32" }] };
    const closed = { external: false, ipSecurityRestrictions: [] };
    const ingress = (name: string) => at(app(name), "configuration.ingress");
    const directCalls = (name: string) =>
      listAt(app(name), "template.containers.0.env").find((variable) => field(variable, "name") === "DIRECT_CALLS");

    test("a deployment of each app creates it with its image; MY_ADDRESS reaches welcome and no other app", async () => {
      await walkThrough("deploy $service");
      const { name } = only("Microsoft.ContainerRegistry/registries");
      for (const service of ["state-api", "group-lister", "welcome"]) {
        expect(at(app(service), "template.containers.0.image")).toBe(`${name}.azurecr.io/${service}:v1`);
        expect(ingress(service)).toMatchObject(service === "welcome" ? mine : closed);
      }
    });

    test("the block sets WELCOME_URL to the address of welcome, from which the label green has its own", async () => {
      await walkThrough("WELCOME_URL=");
      const host = textAt(ingress("welcome"), "fqdn");
      expect((await az.run("echo $WELCOME_URL")).trim()).toBe(`https://${host}`);
      const [, green = ""] = /^curl (\S+)$/.exec(blockWith("---green")) ?? [];
      expect((await az.run(`echo ${green}`)).trim()).toBe(`https://${host.replace("welcome.", "welcome---green.")}`);
    });

    test("with DIRECT_CALLS, state-api and group-lister answer MY_ADDRESS, and without it again no address", async () => {
      const closedApps = ["state-api", "group-lister"];
      for (const name of closedApps) expect(directCalls(name)).toBeUndefined();
      await walkThrough("DIRECT_CALLS=anywhere");
      for (const name of closedApps) {
        expect(ingress(name)).toMatchObject(mine);
        expect(directCalls(name)).toEqual({ name: "DIRECT_CALLS", value: "anywhere" });
        expect((await az.run(`echo https://${name}.$DOMAIN`)).trim()).toBe(`https://${textAt(ingress(name), "fqdn")}`);
      }
      await walkThrough("do deploy $service");
      for (const name of closedApps) {
        expect(ingress(name)).toMatchObject(closed);
        expect(directCalls(name)).toBeUndefined();
      }
    });

    test("the deployments of everything but the apps and of welcome, once more, change no resource", async () => {
      // Each deployment writes a record of itself and a version of the secret.
      const all = () =>
        resources.store
          .list(`/subscriptions/${subscription}`)
          .filter(({ type }) => type !== "Microsoft.Resources/deployments");
      const before = structuredClone(all());
      await az.run(`${blockWith("az deployment sub create")}\ndeploy welcome`);
      expect(all()).toEqual(before);
    });

    test("a new image adds a revision, which replaces the old one", async () => {
      await walkThrough("deploy welcome");
      const printed = await walkThrough("revisions()");
      expect(revisions()).toEqual(["0000001 inactive 0", "0000002 active 100"]);
      const host = textAt(ingress("welcome"), "fqdn");
      expect(printed.replaceAll(/ +/g, " ")).toContain(
        `welcome--0000001 False 0 Running ${host.replace("welcome", "welcome--0000001")}\n` +
          `welcome--0000002 True 100 Running ${host.replace("welcome", "welcome--0000002")}\n`,
      );
    });

    test("the older image again adds a further revision", async () => {
      await walkThrough("deploy welcome");
      expect(revisions().slice(1)).toEqual(["0000002 inactive 0", "0000003 active 100"]);
      expect(at(app("welcome"), "template.containers.0.image")).toMatch(/\/welcome:v1$/);
    });

    test("an image that does not start gets no traffic", async () => {
      const { name } = only("Microsoft.ContainerRegistry/registries");
      resources.push(`${name}.azurecr.io/welcome:broken`);
      broken.add("welcome:broken");
      await az.run("SERVICE_WELCOME_IMAGE_NAME=$REGISTRY/welcome:broken deploy welcome");
      expect(revisions().slice(2)).toEqual(["0000003 active 100", "0000004 active 0"]);
      await az.run("deploy welcome");
      expect(revisions().slice(2)).toEqual(["0000003 inactive 0", "0000004 inactive 0", "0000005 active 100"]);
    });

    test("with LIVE, the new revision has the label green and no traffic", async () => {
      await walkThrough("deploy welcome");
      expect(greeting()).toEqual({ name: "WELCOME", value: "Hello from the candidate!" });
      expect(revisions().slice(4)).toEqual(["0000005 active blue 100", "0000006 active green 0"]);
    });

    test("traffic moves by label, and CANDIDATE_WEIGHT declares the same", async () => {
      await walkThrough("ingress traffic set");
      const expected = ["0000005 active blue 80", "0000006 active green 20"];
      expect(revisions().slice(4)).toEqual(expected);
      await az.run("CANDIDATE_WEIGHT=20 deploy welcome");
      expect(revisions().slice(4)).toEqual(expected);
    });

    test("the first step of a promotion sends the new revision all traffic, and the old one still runs", async () => {
      await walkThrough("CANDIDATE_WEIGHT=100");
      expect(revisions().slice(4)).toEqual(["0000005 active blue 0", "0000006 active green 100"]);
    });

    test("the second step stops the old revision, and leaves no weight for the next candidate", async () => {
      const printed = await walkThrough("unset LIVE CANDIDATE_WEIGHT");
      expect(revisions().slice(4)).toEqual(["0000005 inactive 0", "0000006 active 100"]);
      expect(printed).toMatch(/welcome--0000006 +True +100 +Running/);
      expect(await az.run("env")).not.toMatch(/^(LIVE|CANDIDATE_WEIGHT)=/m);
    });

    const revisionsOfStateApi = () => describeRevisions(find("Microsoft.App/containerApps/revisions"), "state-api");

    test("with LIVE and DIRECT_CALLS, the candidate of state-api has a label, no traffic, and the greeting of WELCOME", async () => {
      await walkThrough("DIRECT_CALLS=anywhere deploy state-api");
      const [live = "", candidate = ""] = revisionsOfStateApi().slice(-2);
      expect([live, candidate]).toEqual([
        expect.stringMatching(/^\d+ active blue 100$/),
        expect.stringMatching(/^\d+ active green 0$/),
      ]);
      expect(ingress("state-api")).toMatchObject(mine);
      const variables = (revision: string) =>
        at(
          only("Microsoft.App/containerApps/revisions", `state-api--${revision.split(" ")[0]}`).properties,
          "template.containers.0.env",
        );
      expect(variables(live)).not.toContainEqual(expect.objectContaining({ name: "DIRECT_CALLS" }));
      expect(variables(candidate)).toEqual(
        expect.arrayContaining([
          { name: "DIRECT_CALLS", value: "anywhere" },
          { name: "WELCOME", value: "Hello from the candidate!" },
        ]),
      );
      const [, green = ""] = /^curl (https:\/\/state-api---green\S+)$/m.exec(blocks.join("\n")) ?? [];
      const host = textAt(ingress("state-api"), "fqdn").replace("state-api.", "state-api---green.");
      expect((await az.run(`echo ${green}`)).trim()).toBe(`https://${host}/`);
    });

    test("without DIRECT_CALLS, another candidate of state-api gets a part of the traffic, and is promoted in two steps", async () => {
      await walkThrough("CANDIDATE_WEIGHT=20\ndeploy state-api");
      expect(revisionsOfStateApi().slice(-3)).toEqual([
        expect.stringMatching(/ active blue 80$/),
        expect.stringMatching(/^\d+ active 0$/),
        expect.stringMatching(/ active green 20$/),
      ]);
      expect(ingress("state-api")).toMatchObject(closed);
      expect(directCalls("state-api")).toBeUndefined();
      await walkThrough("CANDIDATE_WEIGHT=100\ndeploy state-api");
      expect(revisionsOfStateApi().at(-1)).toMatch(/ active green 100$/);
      await walkThrough("unset LIVE CANDIDATE_WEIGHT\ndeploy state-api");
      expect(revisionsOfStateApi().slice(-3)).toEqual([
        expect.stringMatching(/ inactive 0$/),
        expect.stringMatching(/ inactive 0$/),
        expect.stringMatching(/^\d+ active 100$/),
      ]);
    });

    test("az containerapp update changes only the greeting, and the next deployment restores it", async () => {
      const before = objectAt(app("welcome"), "template.containers.0");
      await walkThrough("--set-env-vars");
      expect(objectAt(app("welcome"), "template.containers.0")).toEqual({
        ...before,
        env: [
          { name: "DIRECT_CALLS", value: "anywhere" },
          { name: "WELCOME", value: "Hello from an experiment!" },
        ],
      });
      await walkThrough("deploy welcome");
      expect(objectAt(app("welcome"), "template.containers.0")).toEqual(before);
    });

    test("one command deploys the scale rules, and lets their identity alone read the queue", async () => {
      const account = `/subscriptions/${subscription}/resourceGroups/rg-dapr-samples/providers/Microsoft.Storage/storageAccounts/YOUR-ACCOUNT`;
      resources.store.put(account, { location: "westeurope", properties: {} });
      await walkThrough("state-api-scale-rules.bicepparam");
      const { id, properties } = only("Microsoft.ManagedIdentity/userAssignedIdentities", "id-state-api-scaler");
      const queue = `${account}/queueServices/default/queues/YOUR-QUEUE`;
      expect(at(app("state-api"), "template.scale.rules.2")).toEqual({
        name: "queue-1",
        azureQueue: { accountName: "YOUR-ACCOUNT", queueName: "YOUR-QUEUE", queueLength: 20, identity: id },
      });
      const roles = find("Microsoft.Authorization/roleAssignments").filter(
        (role) => role.properties.principalId === properties.principalId,
      );
      expect(roles.map((role) => role.id.replace(/\/providers\/Microsoft.Authorization.*/, ""))).toEqual([queue]);
      expect(await walkThrough("properties.template.scale")).toMatch(
        /rules:\n- http\n- cpu-0\n- queue-1\n- custom-2\n/,
      );
      await az.run("deploy state-api");
      expect(listAt(app("state-api"), "template.scale.rules")).toHaveLength(1);
    });

    test("two deployments add a domain: the first requests its certificate, the second binds it", async () => {
      const bindings = () => listAt(app("welcome"), "configuration.ingress.customDomains");
      const records = await walkThrough("WELCOME_CNAME");
      expect(records.trim().split("\n")).toEqual([
        textAt(app("welcome"), "configuration.ingress.fqdn"),
        textAt(only("Microsoft.App/managedEnvironments").properties, "staticIp"),
        textAt(app("welcome"), "customDomainVerificationId"),
      ]);
      await walkThrough("WELCOME_DOMAIN=welcome.example.com");
      expect(bindings()).toEqual([{ name: "welcome.example.com", bindingType: "Disabled" }]);
      expect(await walkThrough("env certificate list")).toMatch(/welcome.example.com +Succeeded/);
      await walkThrough("WELCOME_DOMAIN_CERTIFICATE=bound");
      const { id } = only("Microsoft.App/managedEnvironments/managedCertificates");
      expect(bindings()).toEqual([{ name: "welcome.example.com", bindingType: "SniEnabled", certificateId: id }]);
    });

    test("az acr build fails, and says why, when the registry has no public access", async () => {
      const registry = only("Microsoft.ContainerRegistry/registries");
      const closed = { ...registry.properties, publicNetworkAccess: "Disabled" };
      resources.store.put(registry.id, { ...registry, properties: closed });
      const build = `az acr build --registry ${registry.name} --build-arg SERVICE=welcome --image welcome:v3 .`;
      await expect(az.run(`${build} >~/build.log`)).rejects.toThrow(/Run failed/);
      expect(await az.run("cat ~/build.log")).toMatch(/denied: client with IP/);
      resources.store.put(registry.id, registry);
    });

    test("az acr import copies the base image of the Dockerfile by its digest", async () => {
      await walkThrough("az acr import");
      const [, name, digest] =
        /^ARG NODE=(.+):.+@(sha256:.+)$/m.exec(readFileSync(join(root, "Dockerfile"), "utf8")) ?? [];
      const [imported] = sent("POST", /\/importImage$/);
      expect(`${at(imported, "source.registryUri")}/${at(imported, "source.sourceImage")}`).toBe(`${name}@${digest}`);
      expect(at(imported, "targetTags")).toEqual(["node:base"]);
    });

    test("the same blocks in a new shell install the example with the account key, with images of its own", async () => {
      const shell = await startAzureCli(azure, bicep ?? "");
      try {
        const steps = [
          "az deployment sub create",
          "output()",
          "az acr build",
          "SERVICE_WELCOME_IMAGE_NAME=",
          "deploy()",
        ];
        const script = steps
          .map(blockWith)
          .join("\n")
          .replace("AZURE_ENV_NAME=dapr-samples", "AZURE_ENV_NAME=keyed")
          .replace("parameters/containerapps.", "parameters/examples/containerapps-keyed.");
        await shell.run(`export MY_ADDRESS=198.51.100.7\n${script}`);
        const apps = find("Microsoft.App/containerApps").filter(({ id }) => id.includes("/rg-keyed/"));
        const registry = (await shell.run("echo $REGISTRY")).trim();
        expect(registry).not.toBe((await az.run("echo $REGISTRY")).trim());
        expect(apps.map(({ properties }) => at(properties, "template.containers.0.image"))).toEqual(
          ["state-api", "group-lister", "welcome"].map((service) => `${registry}/${service}:v1`),
        );
        expect(apps.map(({ properties }) => at(properties, "configuration.ingress.customDomains") ?? [])).toEqual([
          [],
          [],
          [],
        ]);
        await shell.run(blockWith("az group delete --name rg-"));
      } finally {
        shell.close();
      }
    });
  });

  describe("Container Apps, resource by resource", () => {
    const byTemplate = (type: string, name: string) =>
      find(type, name).find(({ id }) => id.includes("/rg-dapr-samples/"))?.properties ?? expect.fail(name);

    test("the commands create state-api's resources with the template's settings for direct calls", async () => {
      await az.run("WELCOME= DIRECT_CALLS=anywhere deploy state-api");
      await walkThrough("az containerapp create");
      const [group] = sent("PUT", /\/resourceGroups\/rg-by-hand$/i);
      expect(group).toEqual({ location: "westeurope" });

      const [account] = sent("PUT", /\/databaseAccounts\/[^/]+$/);
      const planned = find("Microsoft.DocumentDB/databaseAccounts").find(({ id }) => id.includes("/rg-dapr-samples/"));
      expect(field(account, "properties")).toMatchObject({
        disableLocalAuth: planned?.properties.disableLocalAuth,
        minimalTlsVersion: planned?.properties.minimalTlsVersion,
        consistencyPolicy: { defaultConsistencyLevel: "Session" },
      });
      const [container] = sent("PUT", /\/containers\/statestore$/);
      expect(field(container, "properties")).toMatchObject({
        resource: field(
          byTemplate("Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers", "statestore"),
          "resource",
        ),
      });

      const [component] = sent("PUT", /\/daprComponents\/statestore$/);
      const {
        metadata,
        secrets,
        provisioningState: _state,
        ...common
      } = byTemplate("Microsoft.App/managedEnvironments/daprComponents", "statestore");
      expect(secrets).toEqual([]);
      expect(field(component, "properties")).toMatchObject(common);
      const names = (list: unknown) => (list as unknown[]).map((item) => field(item, "name"));
      expect(names(at(component, "properties.metadata"))).toEqual(names(metadata));

      const [created] = sent("PUT", /\/containerApps\/state-api$/);
      const ofTemplate = (await az.run("echo $REGISTRY")).trim();
      const byHand = `${(await az.run("echo $registry")).trim()}.azurecr.io`;
      const plannedText = JSON.stringify(byTemplate("Microsoft.App/containerApps", "state-api"));
      const plannedApp: unknown = JSON.parse(plannedText.replaceAll(ofTemplate, byHand));
      expect(at(created, "properties.template")).toMatchObject(withoutEmpty(objectAt(plannedApp, "template")));
      /** Resource ids ignore case. */
      const textOf = (value: unknown) => JSON.stringify(value).toLowerCase();
      for (const name of ["identitySettings", "registries"]) {
        expect(textOf(at(created, `properties.configuration.${name}`))).toBe(
          textOf(at(plannedApp, `configuration.${name}`)).replaceAll("/rg-dapr-samples/", "/rg-by-hand/"),
        );
      }
      expect(field(plannedApp, "configuration")).toMatchObject({
        dapr: at(created, "properties.configuration.dapr"),
        ingress: at(created, "properties.configuration.ingress"),
      });
    });

    test("the commands assign the same roles as the template", async () => {
      const [data] = sent("PUT", /\/sqlRoleAssignments\/[^/]+$/);
      const [pull] = sent("PUT", /registries\/[^/]+\/providers\/Microsoft.Authorization\/roleAssignments\/[^/]+$/);
      const principal = (name: string) =>
        find("Microsoft.ManagedIdentity/userAssignedIdentities", name).find(({ id }) => id.includes("by-hand"))
          ?.properties.principalId ?? expect.fail(`no identity ${name}`);
      for (const [assignment, name] of [
        [data, "id-state-api"],
        [pull, "id-pull"],
      ] as const) {
        expect(at(assignment, "properties.principalId")).toBe(principal(name));
        const role = textAt(assignment, "properties.roleDefinitionId").split("/").at(-1);
        expect(JSON.stringify(template)).toContain(role);
      }
      expect(at(data, "properties.scope")).toMatch(/\/dbs\/dapr-db\/colls\/statestore$/);
    });

    test("a new greeting creates a revision, which the list shows with its host name", async () => {
      const printed = await walkThrough("az containerapp revision list");
      expect(printed).toMatch(
        /state-api--0000001 +False +state-api--0000001\.\S+\nstate-api--0000002 +True +state-api--0000002\./,
      );
      expect(sent("PATCH", /\/containerApps\/state-api$/)).toHaveLength(1);
    });

    test("the component with the account key refers to a secret, and the sidecar restarts to read it", async () => {
      const printed = await walkThrough("az cosmosdb keys list");
      expect(
        only("Microsoft.DocumentDB/databaseAccounts", (await az.run("echo $ACCOUNT")).trim()).properties,
      ).toMatchObject({ disableLocalAuth: false });
      const [component] = sent("PUT", /\/daprComponents\/statestore$/);
      expect(at(component, "properties.secrets")).toEqual([{ name: "cosmos-key", value: "simulated-key" }]);
      expect(at(component, "properties.metadata")).toContainEqual({ name: "masterKey", secretRef: "cosmos-key" });
      expect(JSON.stringify(at(component, "properties.metadata"))).not.toContain("simulated-key");
      expect(sent("POST", /\/revisions\/state-api--0000002\/restart$/)).toHaveLength(1);
      expect(printed).not.toContain("simulated-key");
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

    test("the page names the cluster and the policy as the deployment does", async () => {
      expect(await walkThrough("--query properties.outputs --output yaml")).toContain("AZURE_AKS_CLUSTER_NAME");
      expect(await walkThrough("az policy assignment show")).toContain("value: deny");
    });

    test("SECRETS_OFFICER may set secrets, a deployment without it keeps the role, and the page's command removes it", async () => {
      const officer = "55555555-5555-4555-8555-555555555555";
      const scopes = () =>
        find("Microsoft.Authorization/roleAssignments")
          .filter(({ properties }) => properties.principalId === officer)
          .map(({ properties }) => properties.scope);
      const deploy = blockWith("parameters/aks.bicepparam");
      await az.run(`export SECRETS_OFFICER=${officer}\n${deploy}`);
      const vault = find("Microsoft.KeyVault/vaults").find(({ id }) => id.includes("/rg-dapr-on-aks/"))?.id;
      expect(scopes()).toEqual([vault?.toLowerCase()]);
      await az.run(deploy.replace("az deployment", "SECRETS_OFFICER= az deployment"));
      expect(scopes()).toEqual([vault?.toLowerCase()]);
      await run(blockWith("delete --assignee-object-id $SECRETS_OFFICER"));
      expect(scopes()).toEqual([]);
    });
  });

  describe("Clean up", () => {
    const cleanUp = "az group delete --name rg-";
    const deleteLock = "az lock delete";

    test("with the example lock, the group can be deleted only after the lock", async () => {
      const file = "infra/bicep/parameters/examples/lock.bicepparam";
      const environment = "AZURE_ENV_NAME=locked";
      await az.run(
        `${environment} az deployment sub create -n locked -l westeurope --parameters ${file} --output none`,
      );
      await expect(az.run("az group delete --name rg-locked --yes")).rejects.toThrow(/ScopeLocked/);
      await az.run(`export ${environment}\n${blockWith(deleteLock)}\n${blockWith(cleanUp)}`);
      ran.add(blockWith(deleteLock));
      expect(empty.groups.map(({ name }) => name)).not.toContain("rg-locked");
      await az.run("export AZURE_ENV_NAME=dapr-on-aks");
    });

    test("the clean-up leaves no resource, no role assignment and no deployment", async () => {
      vault = (await az.run("echo $AZURE_KEY_VAULT_NAME")).trim();
      await run(blockWith(cleanUp));
      await az.run(`export AZURE_ENV_NAME=dapr-samples\n${blockWith(cleanUp)}`);
      expect(empty.groups).toEqual([]);
      expect(resources.store.list("/subscriptions", "Microsoft.Resources/deployments")).toEqual([]);
      expect(find("Microsoft.Authorization/roleAssignments")).toEqual([]);
      expect(find("Microsoft.KeyVault/vaults")).toEqual([]);
    });

    test("the deleted vault is listed with the end of its retention", async () => {
      expect(await run(blockWith("az keyvault list-deleted"))).toMatch(RegExp(`${vault} +\\d{4}-`));
    });

    test("the same name can be installed again at once, with another vault and closed to other addresses", async () => {
      expect(await az.run("env")).toContain("WELCOME_ACCESS=anyone");
      await run(blockWith("unset WELCOME "));
      await run(blockWith("az deployment sub create"), blockWith("output()"), blockWith("SERVICE_WELCOME_IMAGE_NAME="));
      resources.push((await az.run("echo $SERVICE_WELCOME_IMAGE_NAME")).trim());
      await az.run("deploy welcome");
      expect(revisions()).toEqual(["0000001 active 100"]);
      expect(only("Microsoft.KeyVault/vaults").name).not.toBe(vault);
      expect(callers()).toMatchObject([{ action: "Allow", ipAddressRange: "198.51.100.7/32" }]);
      expect(at(app("welcome"), "configuration.ingress.customDomains")).toEqual([]);
    });

    test("the old vault can be recovered, and not purged", async () => {
      await expect(az.run(`az keyvault purge --name ${vault}`)).rejects.toThrow(/DeletedVaultPurge' is not allowed/);
      await az.run(`az keyvault recover --name ${vault} --output none`);
      expect(find("Microsoft.KeyVault/vaults/secrets").some(({ id }) => id.includes(vault))).toBe(true);
    });

    test("after the deletion of only the vault, the next deployment fails until the vault is recovered", async () => {
      const deploy = blockWith("az deployment sub create");
      const current = (await az.run("echo $(output AZURE_KEY_VAULT_NAME)")).trim();
      resources.store.remove(only("Microsoft.KeyVault/vaults", current).id);
      await expect(az.run(deploy)).rejects.toThrow(/ConflictError: A vault with the same name already exists/);
      await az.run(`az keyvault recover --name ${current} --output none\n${deploy}`);
    });

    test("with LISTED=subscription, the clean-up also deletes the role on the subscription", async () => {
      await az.run(`export LISTED=subscription\n${blockWith("az deployment sub create")}`);
      const onSubscription = () =>
        find("Microsoft.Authorization/roleAssignments").filter(({ id }) => !/\/resourceGroups\//i.test(id));
      expect(onSubscription()).toHaveLength(1);
      await run(blockWith("$lister"), blockWith(cleanUp));
      expect(onSubscription()).toEqual([]);
      expect(empty.groups).toEqual([]);
    });
  });

  test("every block that was not run needs a real subscription", () => {
    expect(blocks.filter((block) => !ran.has(block) && !needsAzure.test(block))).toEqual([]);
  });

  test("az sends requests only to the simulator and aka.ms", () => {
    // Bicep looks for the index of public modules at aka.ms, although the templates use none.
    expect(az.refusedHosts.filter((host) => host !== "aka.ms:443")).toEqual([]);
  });
});

/** Removes empty lists, which az leaves out. */
function withoutEmpty(value: object): object {
  return JSON.parse(JSON.stringify(value), (_name, inner) =>
    Array.isArray(inner) && inner.length === 0 ? undefined : inner,
  );
}
