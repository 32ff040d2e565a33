// Tests on the plans what azd looks for in Azure: the resource group, the cluster, and what `azd monitor` opens.
import { beforeAll, describe, expect, test } from "vitest";
import { listAt, textAt } from "../support/at.ts";
import { projects } from "../support/azd.ts";
import { findBicepOrSkip } from "../support/bicep.ts";
import { makePlans, type Plans } from "../support/plans.ts";

const bicep = await findBicepOrSkip();

describe.skipIf(!bicep)("what azd looks for in Azure", () => {
  const names = Object.values(projects);
  let plans: Plans;
  beforeAll(async () => {
    plans = await makePlans(bicep ?? "", names);
  });

  // https://github.com/Azure/azure-dev/blob/main/cli/azd/cmd/monitor.go
  test.each(names)("%s has Application Insights, and a dashboard whose charts show a resource of the plan", (name) => {
    plans.find(name, "Microsoft.Insights/components");
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

  // azd searches the resource group for the name in `resourceName`, and fails when it finds two resources:
  // https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/project/resource_manager.go (GetServiceResource)
  test("the cluster shares its name with no other resource", () => {
    const { resources, outputs } = plans.of("aks");
    const listed = resources.filter(({ type }) => type.split("/").length === 2); // Azure does not list nested resources
    const named = listed.filter(({ id }) => id.split("/").at(-1) === outputs.AZURE_AKS_CLUSTER_NAME);
    expect(named.map(({ type }) => type)).toEqual(["Microsoft.ContainerService/managedClusters"]);
  });
});
