// Tests on the plans what azd looks for in Azure: the resource group, the cluster, and what `azd monitor` opens.
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { at, listAt, textAt } from "../support/at.ts";
import { projects, readProject } from "../support/azd.ts";
import { environment, findBicepOrSkip } from "../support/bicep.ts";
import { makePlans, type Plans, planIn } from "../support/plans.ts";
import { root } from "../support/processes.ts";

const bicep = await findBicepOrSkip();

describe.skipIf(!bicep)("what azd looks for in Azure", { timeout: 120_000 }, () => {
  const names = Object.values(projects);
  let plans: Plans;
  beforeAll(async () => {
    plans = await makePlans(bicep ?? "", names);
  });

  // https://github.com/Azure/azure-dev/blob/main/cli/azd/cmd/monitor.go
  test("Container Apps has Application Insights for its logs and traces; AKS has none, because it would stay empty", () => {
    plans.find("containerapps", "Microsoft.Insights/components");
    expect(plans.of("aks").resources.map(({ type }) => type)).not.toContain("Microsoft.Insights/components");
  });

  test.each(names)("%s has a dashboard whose charts show a resource of the plan", (name) => {
    const dashboard = plans.find(name, "Microsoft.Portal/dashboards");
    const [lens] = listAt(dashboard, "properties.lenses");
    const parts = listAt(lens, "parts");
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) {
      const [metric] = listAt(part, "metadata.settings.content.options.chart.metrics");
      const shown = textAt(metric, "resourceMetadata.id");
      expect(plans.of(name).resources.map(({ id }) => id)).toContain(shown);
    }
  });

  test.each(names)("%s has one resource group with the name of the azd environment in its tag azd-env-name", (name) => {
    const group = plans.find(name, "Microsoft.Resources/resourceGroups");
    expect(group).toMatchObject({ tags: { "azd-env-name": "dapr-samples" } });
  });

  // azure-dev.yml passes a variable that GitHub lacks as an empty one; a user clears one with `azd env set NAME ""`.
  test.each(Object.entries(projects))(
    "an empty variable of the pipeline counts as not set in azure.yaml in %s",
    async (folder, name) => {
      // The subscription, the name and the region of the deployment are never empty.
      const { variables: all } = readProject(join(root, folder)).pipeline;
      const variables = all.filter((name) => !name.startsWith("AZURE_"));
      const empty = Object.fromEntries(variables.map((variable) => [variable, ""]));
      const env = Object.fromEntries(Object.entries(environment).filter(([variable]) => !(variable in empty)));
      const file = `infra/bicep/parameters/${name}.bicepparam`;
      const [plan, expected] = [
        await planIn(bicep ?? "", { ...env, ...empty }, file),
        await planIn(bicep ?? "", env, file),
      ];
      expect(plan.resources).toEqual(expected.resources);
    },
  );

  // azd searches the resource group for the name in `resourceName`, and fails when it finds two resources:
  // https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/project/resource_manager.go (GetServiceResource)
  test("the cluster shares its name with no other resource", () => {
    const { resources, outputs } = plans.of("aks");
    const listed = resources.filter(({ type }) => type.split("/").length === 2); // Azure does not list nested resources
    const named = listed.filter(({ id }) => id.split("/").at(-1) === outputs.AZURE_AKS_CLUSTER_NAME);
    expect(named.map(({ type }) => type)).toEqual(["Microsoft.ContainerService/managedClusters"]);
  });
});

// Container Apps creates a revision exactly when the template of the app changes:
// https://learn.microsoft.com/azure/container-apps/revisions#change-types
describe.skipIf(!bicep)("the release of welcome on docs/deploy/azd.md", { timeout: 120_000 }, () => {
  /** What `azd deploy welcome` sends, with these variables in the azd environment. */
  async function deploy(variables: Readonly<Record<string, string>>) {
    const image = `registry.azurecr.io/dapr-samples/welcome-dapr-samples:azd-deploy-${variables.TAG}`;
    const env = { ...environment, SERVICE_WELCOME_IMAGE_NAME: image, ...variables };
    const { resources } = await planIn(bicep ?? "", env, "infra/bicep/parameters/welcome.bicepparam");
    const app = resources.find(({ type }) => type === "Microsoft.App/containerApps");
    return {
      template: at(app, "properties.template"),
      mode: at(app, "properties.configuration.activeRevisionsMode"),
      weights: listAt(app, "properties.configuration.ingress.traffic").map((entry) => at(entry, "weight")),
    };
  }

  test("creates a revision for a new image, and none for a new weight or the promotion of the same image", async () => {
    const live = await deploy({ TAG: "1" });
    const candidate = await deploy({ TAG: "2", LIVE: "welcome--0000001" });
    const shared = await deploy({ TAG: "2", LIVE: "welcome--0000001", CANDIDATE_WEIGHT: "10" });
    const shifted = await deploy({ TAG: "2", LIVE: "welcome--0000001", CANDIDATE_WEIGHT: "100" });
    const promoted = await deploy({ TAG: "2", LIVE: "", CANDIDATE_WEIGHT: "" });
    expect(candidate.template).not.toEqual(live.template);
    expect(shared.template).toEqual(candidate.template);
    expect(promoted.template).toEqual(candidate.template);
    expect(shifted.template).toEqual(candidate.template);
    const steps = [live, candidate, shared, shifted, promoted];
    expect(steps.map(({ mode }) => mode)).toEqual(["Single", "Multiple", "Multiple", "Multiple", "Single"]);
    expect(steps.map(({ weights }) => weights)).toEqual([[100], [100, 0], [90, 10], [0, 100], [100]]);
  });

  test("creates a revision for a new greeting with the same image", async () => {
    expect((await deploy({ TAG: "2", WELCOME: "Hallo" })).template).not.toEqual((await deploy({ TAG: "2" })).template);
  });
});
