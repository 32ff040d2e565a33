// Tests the evaluator of ARM templates that the simulator of Azure Resource Manager uses. The Bicep compiler evaluates
// the same templates, except for run-time values: where it has a value, both must agree.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Json, removeNulls } from "../simulators/resource-manager/json.ts";
import { typeOf } from "../simulators/resource-manager/store.ts";
import { deploy, type Outputs } from "../simulators/resource-manager/templates.ts";
import { type Bicep, environment, findBicepOrSkip, startBicep, subscription, tenant } from "../support/bicep.ts";
import { buildIn } from "../support/plans.ts";
import { simulateAzure } from "../support/simulated-azure.ts";

/** Deploys a template with one output and resolves with its value, or rejects with the message of the fault. */
async function evaluate(expression: string, template: object = {}): Promise<unknown> {
  const outputs = { result: { type: "string", value: expression } };
  const compiled = JSON.stringify({
    templateJson: JSON.stringify({ ...template, outputs }),
    parametersJson: JSON.stringify({ parameters: { given: { value: "from the caller" } } }),
  });
  return (await simulateAzure().deploy("evaluate", compiled)).outputs.result;
}

describe("the expression language", () => {
  const parameters = { given: {}, left: { defaultValue: "[toUpper('default')]" } };
  const variables = { list: [1, { deep: "it''s" }] };

  test.for([
    ["plain text", "plain text"],
    ["[[text in brackets]", "[text in brackets]"],
    ["['it''s']", "it's"],
    ["[format('{0}-{1}', 'a', 2)]", "a-2"],
    ["[parameters('given')]", "from the caller"],
    ["[parameters('left')]", "DEFAULT"],
    ["[variables('list')[1].deep]", "it''s"],
    ["[if(false(), fail('never'), 'other branch')]", "other branch"],
    ["[coalesce(tryGet(createObject('a', 1), 'b'), null(), 'c')]", "c"],
    ["[join(map(createArray('a', 'b'), lambda('x', format('<{0}>', lambdaVariables('x')))), '')]", "<a><b>"],
    ["[string(reduce(range(1, 4), 0, lambda('sum', 'n', add(lambdaVariables('sum'), lambdaVariables('n')))))]", "10"],
    ["[cidrSubnet('10.4.0.0/23', 24, 1)]", "10.4.1.0/24"],
    [
      "[resourceId('Microsoft.App/containerApps/revisions', 'a', 'r')]",
      /\/Microsoft.App\/containerApps\/a\/revisions\/r$/,
    ],
    ["[subscription().subscriptionId]", subscription],
    ["[guid('a', 'b')]", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/],
    ["[uniqueString('a')]", /^[a-z2-7]{13}$/],
  ] as const)("%s is %s", async ([expression, expected]) => {
    const value = await evaluate(expression, { parameters, variables });
    if (typeof expected === "string") expect(value).toBe(expected);
    else expect(value).toMatch(expected);
  });

  test("a loop of a property makes one item for each index", async () => {
    const loop = { name: "items", count: 2, input: { name: "[format('item{0}', copyIndex('items'))]" } };
    const variables = { looped: { copy: [loop] } };
    expect(await evaluate("[variables('looped').items]", { variables })).toEqual([
      { name: "item0" },
      { name: "item1" },
    ]);
  });

  test.for([
    ["[fail('no way')]", "no way"],
    ["[nothing()]", "'nothing' is not valid"],
    ["[createObject('a', 1).b]", "property 'b' doesn't exist"],
    ["[reference('/subscriptions/s/providers/P/t/missing')]", "could not be found"],
  ] as const)("%s fails: %s", async ([expression, message]) => {
    await expect(evaluate(expression)).rejects.toThrow(message);
  });
});

describe("the resources of a template", () => {
  const identity = (name: string, more: object = {}) => ({
    type: "Microsoft.ManagedIdentity/userAssignedIdentities",
    name,
    ...more,
  });

  /** Names of the resources in the order of their creation, with the seconds since the start. */
  function run(resources: object): string[] {
    const { store, clock } = simulateAzure();
    const created: string[] = [];
    const start = clock.now;
    const create = (id: string) => {
      created.push(`${id.split("/").at(-1)} ${clock.now - start}`);
      store.put(id, {});
    };
    deploy(
      {
        id: "/subscriptions/s/providers/Microsoft.Resources/deployments/d",
        location: "",
        template: { resources },
        parameters: {},
      },
      { store, clock, tenantId: "t", create },
    );
    return created;
  }

  test("a resource is created after its dependencies, and at once when it has none", () => {
    const account = { type: "Microsoft.DocumentDB/databaseAccounts", name: "slow" };
    const created = run({
      last: identity("last", { dependsOn: ["first", "slow"] }),
      slow: account,
      first: identity("first"),
      second: identity("second", { dependsOn: ["first"] }),
    });
    expect(created).toEqual(["first 0", "slow 0", "second 1", "last 90"]);
  });

  test("a loop creates one resource for each item, and a false condition none", () => {
    const created = run({
      looped: identity("[format('item{0}', copyIndex())]", { copy: { name: "looped", count: "[length('ab')]" } }),
      after: identity("after", { dependsOn: ["looped"] }),
      skipped: identity("skipped", { condition: "[equals(1, 2)]" }),
    });
    expect(created.sort()).toEqual(["after 1", "item0 0", "item1 0"]);
  });

  test("a run-time value without a dependency is missed", () => {
    const resources = {
      first: identity("first"),
      second: identity("second", { tags: { id: "[reference('first').principalId]" } }),
    };
    expect(() => run(resources)).toThrow(/first' could not be found/);
  });
});

const path = await findBicepOrSkip();

describe.skipIf(!path)("the evaluated template", { timeout: 120_000 }, () => {
  const env = {
    ...environment,
    AZURE_KEY_VAULT_NAME: "kv-aaaaaaaaaaaaa",
    SERVICE_STATE_API_IMAGE_NAME: "registry.azurecr.io/state-api:v1",
    SERVICE_GROUP_LISTER_IMAGE_NAME: "registry.azurecr.io/group-lister:v1",
    SERVICE_WELCOME_IMAGE_NAME: "registry.azurecr.io/welcome:v1",
  };
  let bicep: Bicep;
  beforeAll(() => {
    bicep = startBicep(path ?? "", { env });
  });
  afterAll(() => bicep.close());

  /** Without nulls and computed names; run-time values match anything. */
  const comparable = (body: object) =>
    JSON.parse(JSON.stringify(body), (_name, value) => {
      const hasRunTimeKey = Object.keys(Object(value)).some((name) => name.startsWith("["));
      if (typeof value !== "string") return hasRunTimeKey ? expect.anything() : (value ?? undefined);
      if (value.startsWith("[")) return expect.anything();
      return value.replace(/\b(cr|kv-|cosmos-|log-)[a-z2-7]{13}\b/g, "$1*");
    });

  const bodyOf = (resource: object) =>
    Object.fromEntries(
      Object.entries(resource).filter(([name]) => !["id", "type", "name", "apiVersion", "condition"].includes(name)),
    );

  test.for([
    ["containerapps"],
    ["examples/containerapps-keyed"],
    ["aks"],
    ["containerapps", "state-api"],
    ["containerapps", "group-lister"],
    ["containerapps", "welcome"],
  ])("%s has the resources that the compiler predicts", async (names) => {
    const { store, clock, root } = simulateAzure();
    let created: { id: string; type: string; body: object }[] = [];
    let outputs: Outputs = {};
    for (const name of names) {
      const vault = String(outputs.AZURE_KEY_VAULT_NAME?.value);
      const settings = { ...env, ...(outputs.AZURE_KEY_VAULT_NAME ? { AZURE_KEY_VAULT_NAME: vault } : {}) };
      const compiled = JSON.parse(await buildIn(path ?? "", settings, `infra/bicep/parameters/${name}.bicepparam`));
      const scope = outputs.AZURE_RESOURCE_GROUP
        ? `${root}/resourceGroups/${outputs.AZURE_RESOURCE_GROUP.value}`
        : root;
      created = [];
      clock.now += 60;
      outputs = deploy(
        {
          id: `${scope}/providers/Microsoft.Resources/deployments/dapr-samples`,
          location: "westeurope",
          template: JSON.parse(compiled.templateJson),
          parameters: JSON.parse(compiled.parametersJson).parameters,
        },
        {
          store,
          clock,
          tenantId: tenant,
          create(id, body) {
            created.push({ id, type: typeOf(id) || "Microsoft.Resources/resourceGroups", body });
            store.put(id, removeNulls(body) as Json);
          },
        },
      );
    }
    const { resources } = await bicep.plan(`infra/bicep/parameters/${names.at(-1)}.bicepparam`);
    expect(created.length).toBe(resources.length);
    for (const type of new Set(resources.map((resource) => resource.type))) {
      const predicted = resources
        .filter((resource) => resource.type === type)
        .map((resource) => comparable(bodyOf(resource)));
      const ours = created.filter((resource) => resource.type === type).map(({ body }) => comparable(body));
      expect(ours, type).toEqual(expect.arrayContaining(predicted));
    }
  });
});
