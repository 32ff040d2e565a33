// The preflight of Azure Resource Manager rejects a template whose arrays and objects need a resource that it does not
// read: https://github.com/Azure/bicep/issues/7836. Tests the simulator of it, and the compiled templates.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { at, objectAt } from "../support/at.ts";
import { type Bicep, findBicepOrSkip, startBicep } from "../support/bicep.ts";
import { simulateAzure } from "../support/simulated-azure.ts";

const group = "rg-preflight";
const address = "[createArray(createObject('name', reference('identity').clientId))]";
const identity = { type: "Microsoft.ManagedIdentity/userAssignedIdentities", name: "id" };
const app = (env: unknown) => ({
  type: "Microsoft.App/containerApps",
  name: "app",
  dependsOn: ["identity"],
  properties: { template: { containers: [{ name: "app", image: "elsewhere.io/app:v1", env }] } },
});

describe("the simulated preflight", () => {
  /** Deploys resources in a new group, and resolves with the types of what exists afterwards or the error. */
  async function deploy(resources: object): Promise<unknown> {
    const azure = simulateAzure();
    await azure.putGroup(group);
    const compiled = { templateJson: JSON.stringify({ resources }), parametersJson: '{"parameters":{}}' };
    const failure = await azure.deploy("d", JSON.stringify(compiled), group).then(
      () => "",
      (error: Error) => error.message,
    );
    return {
      failure,
      identities: azure.list(identity.type).length,
      apps: azure.list("Microsoft.App/containerApps").length,
    };
  }
  const module = (parameters: object, env: unknown) => ({
    type: "Microsoft.Resources/deployments",
    name: "module",
    dependsOn: ["identity"],
    properties: {
      parameters,
      template: {
        parameters: { given: {} },
        resources: { identity: { ...identity, existing: true }, app: app(env) },
      },
    },
  });
  const rejected = {
    failure: expect.stringMatching(/^InvalidTemplateDeployment: ContainerAppInvalidSchema: .* \(env: \[createArray/),
    identities: 0,
    apps: 0,
  };
  const created = { failure: "", identities: 1, apps: 1 };

  test("rejects a list of an app that is an expression with a property of a resource, before it creates anything", async () => {
    expect(await deploy({ identity, app: app(address) })).toEqual(rejected);
  });

  test("accepts such an expression as one value in a list", async () => {
    expect(await deploy({ identity, app: app([{ name: "[reference('identity').clientId]" }]) })).toEqual(created);
  });

  test("accepts a list that is an expression of known values", async () => {
    expect(await deploy({ identity, app: app("[createArray(createObject('name', 'a'))]") })).toEqual(created);
  });

  test.for([
    ["of a resource", { id: { ...identity, name: "", condition: false } }],
    [
      "of a child resource",
      { id: { ...app([]), type: "Microsoft.App/containerApps/revisions", name: "app/", condition: false } },
    ],
    ["of a resource that exists", { id: { ...identity, name: "[toLower('')]", existing: true } }],
    ["of a module's group", { id: { ...module({}, []), resourceGroup: "", condition: false } }],
  ] as const)("rejects an empty name %s, even where the condition is false", async ([_what, resources]) => {
    const failure = expect.stringMatching(/^InvalidTemplate: .* has an invalid name or scope\./);
    expect(await deploy(resources)).toEqual({ failure, identities: 0, apps: 0 });
  });

  test("checks a module whose parameters are known, and leaves out one with a property of a resource", async () => {
    expect(await deploy({ identity, module: module({ given: { value: "a" } }, address) })).toEqual(rejected);
    const given = { value: "[reference('identity').clientId]" };
    expect(await deploy({ identity, module: module({ given }, address) })).toEqual(created);
  });
});

const path = await findBicepOrSkip();

describe.skipIf(!path)("a compiled template", { timeout: 120_000 }, () => {
  let bicep: Bicep;
  beforeAll(() => {
    bicep = startBicep(path ?? "");
  });
  afterAll(() => bicep.close());
  const compile = async (file: string) => JSON.parse((await bicep.compile(`infra/bicep/${file}.bicep`)).contents);

  test.for(["main", "apps/state-api", "apps/group-lister", "apps/welcome"])(
    "%s has no array or object of Microsoft.App that needs a property of a resource",
    async (file) => {
      const resources = resourcesIn(await compile(file)).filter((resource) =>
        String(field(resource, "type")).startsWith("Microsoft.App/"),
      );
      expect(resources).not.toEqual([]);
      const structured = resources
        .flatMap((resource) => textsIn(field(resource, "properties")))
        .filter(
          (text) => /\b(reference|list\w*)\(/.test(text) && /\b(create(Object|Array)|concat|union|map)\(/.test(text),
        );
      expect(structured).toEqual([]);
    },
  );

  test("the app module of group-lister gets a property of a resource in a list, so the preflight leaves it out", async () => {
    const [module, ...others] = Object.values(objectAt(await compile("apps/group-lister"), "resources")).filter(
      (resource) => field(resource, "type") === "Microsoft.Resources/deployments",
    );
    expect(others).toEqual([]);
    expect(at(module, "properties.parameters.variables.value")).toMatch(/^\[.*reference\('identity'\)\.clientId.*\]$/);
  });
});

/** The resources of a template and of its modules. */
function resourcesIn(template: unknown): unknown[] {
  const resources = Object.values(objectAt(template, "resources"));
  return resources.flatMap((resource) => {
    const isModule = field(resource, "type") === "Microsoft.Resources/deployments";
    return isModule ? resourcesIn(at(resource, "properties.template")) : [resource];
  });
}

function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Object.values(Object(value)).flatMap(textsIn);
}
