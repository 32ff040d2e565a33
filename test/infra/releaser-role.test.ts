// The identity that .github/workflows/release.yml signs in as: infra/bicep/releaser.bicep. What it may do is what whole
// releases ask of the simulator of Container Apps. test/infra/release-workflow.test.ts tests the workflow.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { close, createHttpServer, listen } from "../../stand-ins/azure/http.ts";
import { createResourceManager } from "../../tools/release/azure/resource-manager.ts";
import type { Goal } from "../../tools/release/core/goal.ts";
import type { Definition } from "../../tools/release/definition/definition.ts";
import { release } from "../../tools/release/run/runner.ts";
import type { Outcome } from "../../tools/release/show/report.ts";
import { steady } from "../simulators/container-apps/requests.ts";
import { createProbe } from "../simulators/container-apps/routing.ts";
import { createSimulator, groupName, subscriptionId, workspaceId } from "../simulators/container-apps/simulator.ts";
import { at, listAt, textAt } from "../support/at.ts";
import { findBicepOrSkip } from "../support/bicep.ts";
import { evaluateValue } from "../support/expressions.ts";
import { makePlans, type Plans } from "../support/plans.ts";
import { root } from "../support/processes.ts";
import { quickDefinition } from "../tools/release/simulated.ts";

const workflow = parse(readFileSync(join(root, ".github/workflows/release.yml"), "utf8"));
const path = await findBicepOrSkip();
const [withLogs, withoutLogs] = ["releaser", "releaser-without-logs"] as const;

/** What Azure demands for each request of a release. https://learn.microsoft.com/azure/role-based-access-control/permissions */
const demands: readonly (readonly [RegExp, ...string[]])[] = [
  [/^GET APP$/, "Microsoft.App/containerApps/read"],
  [/^PATCH APP$/, "Microsoft.App/containerApps/write"],
  [/^GET APP\/revisions$/, "Microsoft.App/containerApps/revisions/read"],
  [/^GET APP\/revisions\/[^/]+\/replicas$/, "Microsoft.App/containerApps/revisions/replicas/read"],
  [/^POST APP\/revisions\/[^/]+\/activate$/, "Microsoft.App/containerApps/revisions/activate/action"],
  [/^POST APP\/revisions\/[^/]+\/deactivate$/, "Microsoft.App/containerApps/revisions/deactivate/action"],
  [
    /^GET \/subscriptions\/[^/]+\/providers\/Microsoft\.App\/locations\/[^/]+\/containerappOperation(Results|Statuses)\/[^/]+$/,
    "Microsoft.App/locations/containerappOperationResults/read",
    "Microsoft.App/locations/containerappOperationStatuses/read",
  ],
  [/^GET APP\/providers\/Microsoft.Insights\/metrics$/, "Microsoft.Insights/metrics/read"],
  [
    /^POST \/v1\/workspaces\/[^/]+\/query$/,
    "Microsoft.OperationalInsights/workspaces/read",
    "Microsoft.OperationalInsights/workspaces/query/read",
    "Microsoft.OperationalInsights/workspaces/query/ContainerAppHTTPLogs/read",
  ],
];

/** The actions that whole releases ask for: one without an image, a bad one, its retry, and a good one. */
async function findNeeded(checks: Definition["checks"]): Promise<{ actions: string[]; outcomes: Outcome[] }> {
  const simulator = createSimulator({ workload: steady({ perSecond: 60 }) });
  simulator.virtualClock.advance(60_000);
  Object.assign(simulator.options, { metricLag: { first: 30, whole: 60 }, logLag: 30, requestTime: 200 });
  const actions = new Set<string>();
  const limits = { hostNames: ["127.0.0.1"], maximumBodyBytes: 64 * 1024 };
  const server = createHttpServer(limits, async (request) => {
    const shown = `${request.method} ${request.url.pathname}`.replace(simulator.app.id, "APP");
    const [, ...found] = demands.find(([pattern]) => pattern.test(shown)) ?? [/./, `nothing known for ${shown}`];
    for (const action of found) actions.add(action);
    return simulator.handle(request);
  });
  const origin = `http://127.0.0.1:${await listen(server, "127.0.0.1", 0)}`;
  const getToken = async () => "token";
  const clock = simulator.virtualClock;
  const azure = createResourceManager({
    target: { subscription: subscriptionId, resourceGroup: groupName, app: "welcome" },
    origin,
    getToken,
    logs: { origin, getToken, workspace: workspaceId },
    clock,
  });
  const run = (version: string, retry = false): Goal => {
    const image = `registry.example/welcome:${version}`;
    return { kind: "run", image, retry, once: false, allowQueue: false };
  };
  const outcomes: Outcome[] = [];
  for (const goal of [run("2.0.0-no-image"), run("2.0.0-errors"), run("2.0.0-errors", true), run("2.0.0")]) {
    const show = { report: () => {}, end: (outcome: Outcome) => void outcomes.push(outcome) };
    const definition = { ...quickDefinition, checks };
    const common = { azure, clock, probe: createProbe(simulator), runTest: async () => ({ ok: true }) as const };
    await release({ ...common, definition, goal, owner: `run-${outcomes.length}`, show });
  }
  await close(server);
  return { actions: [...actions].toSorted(), outcomes };
}

/** The environments of the jobs, for each command. */
function environmentsOf(): Set<string> {
  const environments = Object.values(workflow.jobs).flatMap((job) => {
    const environment = at(job, "environment");
    const inputs = ["run", "promote", "abort", ""].map((command) => ({ command, image: "" }));
    return typeof environment === "string" ? inputs.map((given) => evaluateValue(environment, { inputs: given })) : [];
  });
  return new Set(environments.map(String));
}

describe.skipIf(!path)("the identity of releaser.bicep", { timeout: 120_000 }, () => {
  let plans: Plans;
  beforeAll(async () => {
    plans = await makePlans(path ?? "", [withLogs, withoutLogs]);
  }, 120_000);

  const ofType = (plan: string, type: string) =>
    plans.of(plan).resources.filter((resource) => resource.type.toLowerCase() === type.toLowerCase());

  /** What each role assignment of a plan allows, and on what. */
  const grants = (plan: string) => {
    const roles = ofType(plan, "Microsoft.Authorization/roleDefinitions");
    return ofType(plan, "Microsoft.Authorization/roleAssignments").map(({ id, properties }) => {
      const role = roles.find((item) => item.id === textAt(properties, "roleDefinitionId"));
      const [, subscriptionId, resource] =
        /^\[(?:subscriptionResourceId\('([^']+)'|extensionResourceId\('([^']+)')/.exec(id) ?? [];
      const scope = subscriptionId === undefined ? resource : `/subscriptions/${subscriptionId}`;
      return { scope, permissions: at(role?.properties, "permissions") };
    });
  };
  /** Without the other parts of a permission: a part such as notActions is a fault. */
  const sorted = (found: ReturnType<typeof grants>) =>
    found.map(({ scope, permissions }) => {
      expect(permissions).toEqual([{ actions: expect.any(Array) }]);
      return { scope, actions: listAt(permissions, "0.actions").toSorted() };
    });
  const subscription = "/subscriptions/11111111-1111-1111-1111-111111111111";
  const group = `${subscription}/resourceGroups/rg-dapr-samples`;
  const onApp = (name: string, actions: readonly string[]) => ({
    scope: `${group}/providers/Microsoft.App/containerApps/${name}`,
    actions: actions.filter((action) => !/^Microsoft\.(App\/locations|OperationalInsights)\//.test(action)),
  });
  /** The address of an operation names no app. */
  const onSubscription = (actions: readonly string[]) => ({
    scope: subscription,
    actions: actions.filter((action) => action.startsWith("Microsoft.App/locations/")),
  });

  test("has exactly the actions that releases ask for: on one app, and on operations of the subscription", async () => {
    const [metrics] = quickDefinition.checks;
    const { actions, outcomes } = await findNeeded(metrics ? [metrics] : []);
    expect(outcomes).toEqual(["rolledBack", "rolledBack", "rolledBack", "promoted"]);
    expect(sorted(grants(withoutLogs))).toEqual([onApp("welcome", actions), onSubscription(actions)]);
  });

  test("has them on each app of the list, and on the workspace those that releases with logs also ask for", async () => {
    const slow = { name: "slow", source: "httpLogs", over: 0.5, margin: 0.02, max: 0.5, lag: 60 } as const;
    const { actions, outcomes } = await findNeeded([...quickDefinition.checks, slow]);
    expect(outcomes).toEqual(["rolledBack", "rolledBack", "rolledBack", "promoted"]);
    const logs = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-logs";
    expect(sorted(grants(withLogs))).toEqual([
      onApp("welcome", actions),
      onApp("state-api", actions),
      onSubscription(actions),
      {
        scope: `${logs}/providers/Microsoft.OperationalInsights/workspaces/log-contoso`,
        actions: actions.filter((action) => action.startsWith("Microsoft.OperationalInsights/")),
      },
    ]);
  });

  test("limits each role to the resource group that it needs, and the role that reads operations to the subscription", () => {
    const scopes = ofType(withLogs, "Microsoft.Authorization/roleDefinitions").map(({ properties }) => [
      listAt(properties, "permissions.0.actions").length,
      ...listAt(properties, "assignableScopes"),
    ]);
    expect(scopes).toEqual([
      [7, group],
      [2, subscription],
      [3, expect.stringMatching(/\/resourceGroups\/rg-logs$/)],
    ]);
  });

  test("trusts exactly the environments of release.yml", () => {
    const subjects = ofType(
      withLogs,
      "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    ).map(({ properties }) => {
      expect(properties).toMatchObject({
        issuer: "https://token.actions.githubusercontent.com",
        audiences: ["api://AzureADTokenExchange"],
      });
      return textAt(properties, "subject");
    });
    expect(subjects.toSorted()).toEqual(
      [...environmentsOf()].map((environment) => `repo:contoso/samples:environment:${environment}`).toSorted(),
    );
  });
});

test("the modules of releaser.bicep use no built-in role and no wildcard", () => {
  for (const name of [
    "releaser",
    "modules/releaser-identity",
    "modules/app-releaser",
    "modules/operation-reader",
    "modules/http-log-reader",
  ]) {
    const text = readFileSync(join(root, `infra/bicep/${name}.bicep`), "utf8");
    expect(text, name).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-|'[\w.]+\/(\S*\/)?\*/);
  }
});
