// Runs the sequence of `azd up`, releases, `azd down` and `azd up` again in the simulator of Azure Resource Manager:
// https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/project/service_target_containerapp.go. Every rule of
// test/infra/azure-rules.test.ts applies, so that a name that is taken or a role that is too late fails a step.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { at, listAt, textAt } from "../support/at.ts";
import { imageVariable } from "../support/azd.ts";
import { environment, findBicepOrSkip } from "../support/bicep.ts";
import { buildIn } from "../support/plans.ts";
import { root } from "../support/processes.ts";
import { describeRevisions, type SimulatedAzure, simulateAzure } from "../support/simulated-azure.ts";

const bicep = await findBicepOrSkip();
const services = ["state-api", "group-lister", "welcome"] as const;

/** An azd environment, and the commands of azd that change Azure. */
function createEnvironment(azure: SimulatedAzure, module: string, more: Readonly<Record<string, string>>) {
  const settings = { AZURE_ENV_NAME: "samples", AZURE_LOCATION: "westeurope", ...more };
  const values = new Map<string, string>(Object.entries(settings));
  const invalid = new Set<string>();
  let runs = 0;
  const built = new Map<string, string>();
  /** Compiles a parameter file, once for each set of the variables that it reads. */
  async function build(name: string): Promise<string> {
    const file = `infra/bicep/parameters/${name}.bicepparam`;
    const reads = new Set(readFileSync(join(root, file), "utf8").match(/(?<=readEnvironmentVariable\(')\w+/g));
    const env = Object.fromEntries([...values].filter(([variable]) => reads.has(variable)));
    const key = `${file} ${JSON.stringify(env)}`;
    const compiled = built.get(key) ?? (await buildIn(bicep ?? "", env, file));
    built.set(key, compiled);
    return compiled;
  }
  const keep = (outputs: Readonly<Record<string, string>>) => {
    for (const [name, value] of Object.entries(outputs)) values.set(name, value);
  };
  const azd = {
    values,
    async provision() {
      const location = values.get("AZURE_LOCATION") ?? "";
      const { outputs } = await azure.deploy(`samples-${runs++}`, await build(module), undefined, location);
      keep(outputs);
      for (const name of Object.keys(outputs)) invalid.add(name);
    },
    /** Builds the image of a service under a new tag. */
    publish(service: string) {
      const registry = values.get("AZURE_CONTAINER_REGISTRY_ENDPOINT");
      const image = `${registry}/dapr-samples/${service}-samples:azd-deploy-${runs++}`;
      azure.push(image);
      values.set(imageVariable(service), image);
      return image;
    },
    /** Deploys the image of the last publish, or another one as `--from-package` does. */
    async deploy(service: string, image = values.get(imageVariable(service)) ?? "") {
      values.set(imageVariable(service), image);
      const group = values.get("AZURE_RESOURCE_GROUP");
      const { outputs, resources } = await azure.deploy(`${service}-${runs++}`, await build(service), group);
      keep(outputs);
      return resources;
    },
    async up() {
      await azd.provision();
      for (const service of services) {
        azd.publish(service);
        await azd.deploy(service);
      }
    },
    /** Deletes the resource group, and the outputs of the last provision. */
    async down() {
      await azure.removeGroup(values.get("AZURE_RESOURCE_GROUP") ?? "");
      for (const name of invalid) values.delete(name);
    },
  };
  return azd;
}

const rolesOf = (azure: SimulatedAzure) =>
  azure.list("Microsoft.Authorization/roleAssignments").map(({ id, properties }) => [id, properties.principalId]);

describe.skipIf(!bicep)("azd on Container Apps", { timeout: 120_000 }, () => {
  const broken = new Set<string>();
  const azure = simulateAzure({ isReady: (image) => !broken.has(image) });
  const azd = createEnvironment(azure, "containerapps", { DEMO_SECRET: "demovalue" });
  const revisions = () => describeRevisions(azure.list("Microsoft.App/containerApps/revisions"));
  const welcome = () => azure.list("Microsoft.App/containerApps").find(({ name }) => name === "welcome");
  const live = () => textAt(welcome(), "properties.latestReadyRevisionName");
  let first = "";

  test("azd up creates each app with one revision", async () => {
    await azd.up();
    expect(azure.list("Microsoft.App/containerApps").map(({ name }) => name)).toEqual([...services]);
    expect(azure.list("Microsoft.App/containerApps/revisions")).toHaveLength(3);
    first = azd.values.get("SERVICE_WELCOME_IMAGE_NAME") ?? "";
  });

  // A deployment lists the resources of its modules, too, as azd's recording of a deployment with the app in one shows:
  // https://github.com/Azure/azure-dev/blob/main/cli/azd/test/functional/testdata/recordings/Test_CLI_Up_Down_ContainerApp_RemoteBuild.yaml
  test("the deployment of a service lists its app, where azd looks for it", async () => {
    const resources = await azd.deploy("welcome");
    expect(resources.filter((id) => /\/Microsoft\.App\/containerApps\/[^/]+$/.test(id))).toHaveLength(1);
  });

  test("azd provision and a deployment of the same image change neither roles nor revisions", async () => {
    const before = rolesOf(azure);
    await azd.provision();
    await azd.deploy("welcome");
    expect(rolesOf(azure)).toEqual(before);
    expect(revisions()).toEqual(["0000001 active 100"]);
  });

  test("a new image adds a revision, which replaces the old one", async () => {
    azd.publish("welcome");
    await azd.deploy("welcome");
    expect(revisions()).toEqual(["0000001 inactive 0", "0000002 active 100"]);
  });

  test("a new WELCOME alone adds a revision", async () => {
    azd.values.set("WELCOME", "Hello!");
    await azd.deploy("welcome");
    expect(revisions().slice(1)).toEqual(["0000002 inactive 0", "0000003 active 100"]);
  });

  test("an image that does not start gets no traffic, and an older image replaces it", async () => {
    broken.add(azd.publish("welcome"));
    await azd.deploy("welcome");
    expect(revisions().slice(2)).toEqual(["0000003 active 100", "0000004 active 0"]);
    expect(live()).toBe("welcome--0000003");
    await azd.deploy("welcome", first);
    expect(revisions().slice(2)).toEqual(["0000003 inactive 0", "0000004 inactive 0", "0000005 active 100"]);
  });

  test("with LIVE, a candidate that does not start gets no traffic, whatever CANDIDATE_WEIGHT says", async () => {
    azd.values.set("LIVE", live()).set("CANDIDATE_WEIGHT", "50");
    broken.add(azd.publish("welcome"));
    await azd.deploy("welcome");
    expect(revisions().slice(4)).toEqual(["0000005 active blue green 100", "0000006 active 0"]);
  });

  test("with LIVE, a candidate gets CANDIDATE_WEIGHT, up to 100; without both, the same image keeps all traffic", async () => {
    const image = azd.publish("welcome");
    await azd.deploy("welcome");
    expect(revisions().slice(4)).toEqual(["0000005 active blue 50", "0000006 active 0", "0000007 active green 50"]);
    azd.values.set("CANDIDATE_WEIGHT", "100");
    await azd.deploy("welcome", image);
    expect(revisions().slice(4)).toEqual(["0000005 active blue 0", "0000006 active 0", "0000007 active green 100"]);
    azd.values.set("LIVE", "").set("CANDIDATE_WEIGHT", "");
    await azd.deploy("welcome", image);
    expect(revisions().slice(4)).toEqual(["0000005 inactive 0", "0000006 inactive 0", "0000007 active 100"]);
  });

  test("a LIVE that is inactive or unknown is rejected, and the traffic stays", async () => {
    const before = revisions();
    azd.values.set("LIVE", "welcome--0000005");
    await expect(azd.deploy("welcome")).rejects.toThrow(/welcome--0000005 is inactive/);
    azd.values.set("LIVE", "welcome--0000099");
    await expect(azd.deploy("welcome")).rejects.toThrow(/welcome--0000099' could not be found/);
    azd.values.set("LIVE", "");
    expect(revisions()).toEqual(before);
  });

  test("a domain is added, gets a certificate, is bound to it, and stays bound in later releases", async () => {
    const host = () => new URL(azd.values.get("WELCOME_URL") ?? "").host;
    azd.values.set("WELCOME_DOMAIN", "welcome.example.com").set("WELCOME_DOMAIN_CERTIFICATE", "requested");
    await expect(azd.deploy("welcome")).rejects.toThrow(/domain needs access.who 'anyone'/);
    azd.values.set("WELCOME_ACCESS", "anyone");
    await expect(azd.deploy("welcome")).rejects.toThrow(/needs signIn/);
    azd.values.set("WELCOME_SIGN_IN_CLIENT_ID", "44444444-4444-4444-4444-444444444444");
    await azd.deploy("welcome");
    await azd.deploy("welcome");
    expect(host()).toMatch(/^welcome\.[^.]+\.westeurope\.azurecontainerapps\.io$/);
    const domain = () => at(welcome(), "properties.configuration.ingress.customDomains");
    expect(domain()).toEqual([{ name: "welcome.example.com", bindingType: "Disabled" }]);
    const [certificate, ...others] = azure.list("Microsoft.App/managedEnvironments/managedCertificates");
    expect(others).toEqual([]);
    azd.values.set("WELCOME_DOMAIN_CERTIFICATE", "bound");
    await azd.deploy("welcome");
    azd.publish("welcome");
    await azd.deploy("welcome");
    const bound = { name: "welcome.example.com", bindingType: "SniEnabled", certificateId: certificate?.id };
    expect(domain()).toEqual([bound]);
    expect(host()).toBe("welcome.example.com");
    azd.values.set("WELCOME_DOMAIN_CERTIFICATE", "");
    await expect(azd.deploy("welcome")).rejects.toThrow(/WELCOME_DOMAIN_CERTIFICATE is missing/);
    expect(domain()).toEqual([bound]);
    azd.values.set("WELCOME_DOMAIN_CERTIFICATE", "bound");
  });

  test("after azd down, azd up fails until the variables that azd.md names are cleared, and then creates everything again, with another vault", async () => {
    const vault = azd.values.get("AZURE_KEY_VAULT_NAME");
    azd.values.set("LIVE", live()).set("CANDIDATE_WEIGHT", "50");
    await azd.down();
    expect(azure.list("Microsoft.App/containerApps")).toEqual([]);
    await expect(azd.up()).rejects.toThrow(/welcome--\d+' could not be found/);
    azd.values.set("LIVE", "");
    await expect(azd.up()).rejects.toThrow(/InvalidCertificateId/);
    const [, cleanUp = ""] = readFileSync(join(root, "docs/deploy/azd.md"), "utf8").split("## Clean up");
    for (const [, name = ""] of cleanUp.matchAll(/`azd env set (\w+) ""`/g)) azd.values.set(name, "");
    const kept = ["LIVE", "CANDIDATE_WEIGHT", "WELCOME_DOMAIN", "WELCOME_DOMAIN_CERTIFICATE"];
    expect(kept.map((name) => azd.values.get(name))).toEqual(kept.map(() => ""));
    await azd.up();
    expect(azd.values.get("AZURE_KEY_VAULT_NAME")).not.toBe(vault);
    expect(revisions()).toEqual(["0000001 active 100"]);
  });

  test("azd down and azd up on the same name in another region create everything there", async () => {
    await azd.down();
    azd.values.set("AZURE_LOCATION", "northeurope");
    await azd.up();
    const located = azure.store
      .list(azure.root)
      .filter(({ type, location }) => location && type !== "Microsoft.Resources/deployments");
    expect(located.length).toBeGreaterThan(10);
    expect(located.filter(({ location }) => !["northeurope", "global"].includes(String(location)))).toEqual([]);
  });
});

describe.skipIf(!bicep)(
  "azd on Container Apps: a candidate of an app that only welcome calls",
  { timeout: 120_000 },
  () => {
    const azure = simulateAzure();
    const azd = createEnvironment(azure, "containerapps", { DEMO_SECRET: "demovalue", MY_ADDRESS: "198.51.100.7" });
    beforeAll(() => azd.up(), 120_000);

    const revisionsOf = (app: string) =>
      azure.list("Microsoft.App/containerApps/revisions").filter(({ id }) => id.includes(`/${app}/`));
    const shown = (app: string) => describeRevisions(azure.list("Microsoft.App/containerApps/revisions"), app);
    const ingress = (app: string) =>
      at(
        azure.list("Microsoft.App/containerApps").find(({ name }) => name === app),
        "properties.configuration.ingress",
      );
    /** The values of environment variables, by revision. */
    const variablesOf = (app: string, ...names: string[]) =>
      revisionsOf(app).map(({ properties }) => {
        const variables = listAt(properties, "template.containers.0.env");
        return names.map((name) =>
          at(
            variables.find((variable) => at(variable, "name") === name),
            "value",
          ),
        );
      });

    test.for(["state-api", "group-lister"])(
      "%s with LIVE and DIRECT_CALLS: only the candidate answers MY_ADDRESS, by its label; live keeps the traffic",
      async (app) => {
        azd.values.set("LIVE", `${app}--0000001`).set("DIRECT_CALLS", "anywhere");
        azd.publish(app);
        await azd.deploy(app);
        expect(shown(app)).toEqual(["0000001 active blue 100", "0000002 active green 0"]);
        expect(variablesOf(app, "DIRECT_CALLS")).toEqual([[undefined], ["anywhere"]]);
        const mine = [{ name: "allowed-0", action: "Allow", ipAddressRange: "198.51.100.7/32" }];
        expect(ingress(app)).toMatchObject({ external: true, ipSecurityRestrictions: mine });

        azd.values.set("DIRECT_CALLS", "").set("CANDIDATE_WEIGHT", "20");
        await azd.deploy(app);
        const [live, tested, closed] = ["0000001 active blue 80", "0000002 active 0", "0000003 active green 20"];
        expect(shown(app)).toEqual([live, tested, closed]);
        expect(variablesOf(app, "DIRECT_CALLS")).toEqual([[undefined], ["anywhere"], [undefined]]);
        expect(ingress(app)).toMatchObject({ external: false });

        azd.values.set("CANDIDATE_WEIGHT", "100");
        await azd.deploy(app);
        azd.values.set("LIVE", "").set("CANDIDATE_WEIGHT", "");
        await azd.deploy(app);
        expect(shown(app)).toEqual(["0000001 inactive 0", "0000002 inactive 0", "0000003 active 100"]);
      },
    );

    test("WELCOME is the greeting of the next revision of state-api, and of no revision of group-lister", async () => {
      azd.values.set("WELCOME", "Hello from the candidate!").set("LIVE", "state-api--0000003");
      await azd.deploy("state-api");
      expect(variablesOf("state-api", "WELCOME").slice(2)).toEqual([[undefined], ["Hello from the candidate!"]]);
      expect(shown("state-api").slice(2)).toEqual(["0000003 active blue 100", "0000004 active green 0"]);
      await azd.deploy("group-lister");
      expect(shown("group-lister")).toHaveLength(3);
    });

    test("a LIVE of state-api leaves the other apps in the mode that replaces the old revision", async () => {
      azd.publish("welcome");
      await azd.deploy("welcome");
      expect(shown("welcome")).toEqual(["0000001 inactive 0", "0000002 active 100"]);
    });
  },
);

describe.skipIf(!bicep)(
  "azd on Container Apps, where group-lister lists the subscription",
  { timeout: 120_000 },
  () => {
    test("its role outlives azd down, and the next azd provision assigns another", async () => {
      const azure = simulateAzure();
      const azd = createEnvironment(azure, "containerapps", { DEMO_SECRET: "demovalue", LISTED: "subscription" });
      await azd.provision();
      await azd.down();
      const [left, ...others] = rolesOf(azure);
      expect(others).toEqual([]);
      await azd.provision();
      expect(rolesOf(azure)).toContainEqual(left);
      expect(rolesOf(azure).filter(([id]) => !/\/resourceGroups\//i.test(String(id)))).toHaveLength(2);
    });
  },
);

describe.skipIf(!bicep)("azd on AKS", { timeout: 120_000 }, () => {
  const azure = simulateAzure();
  const azd = createEnvironment(azure, "aks", {
    DEMO_SECRET: "demovalue",
    AZURE_PRINCIPAL_ID: "33333333-3333-3333-3333-333333333333",
  });
  const pullers = () =>
    azure
      .list("Microsoft.Authorization/roleAssignments")
      .filter(({ properties }) =>
        textAt(properties, "roleDefinitionId").endsWith("7f951dda-4ed3-4680-a7ca-43fe172d538d"),
      )
      .map(({ properties }) => properties.principalId);
  const kubelet = () =>
    at(
      azure.list("Microsoft.ContainerService/managedClusters")[0],
      "properties.identityProfile.kubeletidentity.objectId",
    );

  const pools = () =>
    listAt(azure.list("Microsoft.ContainerService/managedClusters")[0], "properties.agentPoolProfiles").map((pool) => [
      at(pool, "minCount"),
      at(pool, "count"),
    ]);

  beforeAll(() => azd.provision());

  test("azd provision starts the pools with min nodes", () => {
    expect(pools()).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  test("azd provision once more keeps the nodes that the autoscaler added", async () => {
    const [cluster] = azure.list("Microsoft.ContainerService/managedClusters");
    Object.assign(Object(listAt(cluster, "properties.agentPoolProfiles")[1]), { count: 3 });
    await azd.provision();
    expect(pools()).toEqual([
      [1, 1],
      [1, 3],
    ]);
  });

  test("azd provision lets the identity of the nodes pull images", () => {
    expect(pullers()).toEqual([kubelet()]);
  });

  test("azd provision once more changes no role", async () => {
    const before = rolesOf(azure);
    await azd.provision();
    expect(rolesOf(azure)).toEqual(before);
  });

  test("azd down and azd provision on the same name create everything again, with other identities", async () => {
    const [vault, old] = [azd.values.get("AZURE_KEY_VAULT_NAME"), kubelet()];
    await azd.down();
    await azd.provision();
    expect(azd.values.get("AZURE_KEY_VAULT_NAME")).not.toBe(vault);
    expect(kubelet()).not.toBe(old);
    expect(pullers()).toEqual([kubelet()]);
  });
});

const examples = readdirSync(join(root, "infra/bicep/parameters/examples"))
  .filter((file) => readFileSync(join(root, "infra/bicep/parameters/examples", file), "utf8").includes("/main.bicep'"))
  .map((file) => file.replace(".bicepparam", ""));

describe.skipIf(!bicep)("an example of a parameter file for main.bicep", { timeout: 120_000 }, () => {
  test.for(examples)("%s can be deployed, and deployed again without a change of roles", async (name) => {
    const azure = simulateAzure();
    const azd = createEnvironment(azure, `examples/${name}`, environment);
    await azd.provision();
    const before = rolesOf(azure);
    await azd.provision();
    expect(rolesOf(azure)).toEqual(before);
  });
});
