// One truth: what the plan says about a service is what the service, its OpenAPI document, dapr.yaml and components/ say;
// and a service runs in the environment that the plan gives it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { variables as groupListerVariables, readGroupListerConfig } from "../../services/group-lister/config.ts";
import { openapi as groupListerApi } from "../../services/group-lister/openapi.ts";
import { commonVariables, readConfig, type Variable } from "../../services/runtime/config.ts";
import { readStateApiConfig, variables as stateApiVariables } from "../../services/state-api/config.ts";
import { openapi as stateApiApi } from "../../services/state-api/openapi.ts";
import { variables as welcomeVariables } from "../../services/welcome/config.ts";
import { openapi as welcomeApi } from "../../services/welcome/openapi.ts";
import { identityHeader } from "../../stand-ins/azure/defaults.ts";
import { sampleSubscription } from "../../stand-ins/azure/sample.ts";
import { startAzure } from "../../stand-ins/azure/start.ts";
import { findDaprd } from "../../tools/daprd/find.ts";
import { readTemplate } from "../../tools/launch/template.ts";
import { findBicepOrSkip, type Plan, startBicep, subscription } from "../support/bicep.ts";
import { type Process, root, startService, startSidecar } from "../support/processes.ts";

const path = await findBicepOrSkip();

interface Service {
  readonly variables: Readonly<Record<string, Variable>>;
  readonly paths: object;
  readonly read: (env: Record<string, string>) => object;
}
const services: Record<string, Service> = {
  "state-api": {
    variables: stateApiVariables,
    paths: stateApiApi.paths,
    read: (env) => readStateApiConfig(env, []),
  },
  "group-lister": { variables: groupListerVariables, paths: groupListerApi.paths, read: readGroupListerConfig },
  welcome: {
    variables: welcomeVariables,
    paths: welcomeApi.paths,
    read: (env) => readConfig(welcomeVariables, env),
  },
};

describe.skipIf(!path)("the plan and", { timeout: 120_000 }, () => {
  const clientId = "00000000-0000-0000-0000-0000000000c2";
  let plan: Plan;
  let greeting: Plan;

  beforeAll(async () => {
    const bicep = startBicep(path ?? "");
    plan = await bicep.plan("infra/bicep/parameters/containerapps.bicepparam");
    greeting = await bicep.plan("test/infra/plans/blue-green.bicepparam");
    bicep.close();
  }, 120_000);

  const find = (type: string, { resources } = plan) => Object(resources.find((item) => item.type === type)?.properties);
  const app = (name: string, { resources } = plan) =>
    Object(resources.find((item) => item.type === "Microsoft.App/containerApps" && item.name === name)?.properties);
  const component = () => find("Microsoft.App/managedEnvironments/daprComponents");
  /** With a client id where the plan says whose. */
  const environmentOf = (name: string, of = plan): Record<string, string> =>
    Object.fromEntries(
      app(name, of).template.containers[0].env.map(({ name, value }: { name: string; value: string }) => [
        name,
        value.replace(/^\[reference\('.*'\)\.clientId\]$/, clientId),
      ]),
    );

  test("dapr.yaml know the same apps", () => {
    const apps = readTemplate(join(root, "dapr.yaml")).apps.filter(({ appID }) => appID in services);
    const planned = plan.resources.filter(({ type }) => type === "Microsoft.App/containerApps");
    expect(planned.map(({ name }) => name)).toEqual(apps.map(({ appID }) => appID));
    for (const { name } of planned) expect(app(name).configuration.dapr.appId).toBe(name);
  });

  describe.each(Object.entries(services))("%s", (name, { variables, paths, read }) => {
    test("agree on the variables that there are, and on what they may be", () => {
      for (const of of [plan, greeting]) {
        const env = environmentOf(name, of);
        expect(Object.keys(variables)).toEqual(expect.arrayContaining(Object.keys(env)));
        expect(read(env)).toMatchObject(env);
      }
    });

    test("agree on the port, the probes, and the time to end", () => {
      const { configuration, template } = app(name);
      const [{ probes }] = template.containers;
      const port = commonVariables.PORT.default;
      expect([configuration.ingress.targetPort, configuration.dapr.appPort]).toEqual([port, port]);
      for (const { httpGet } of probes) {
        expect(httpGet.port).toBe(port);
        expect(paths).toHaveProperty([httpGet.path, "get"]);
      }
      expect(template.terminationGracePeriodSeconds * 1000).toBeGreaterThan(
        commonVariables.SHUTDOWN_TIMEOUT_MS.default,
      );
    });
  });

  test("components/cosmos/containerapps.yaml name the same component, in the same form", () => {
    const yaml = parse(readFileSync(join(root, "components/cosmos/containerapps.yaml"), "utf8"));
    const values: Record<string, unknown> = { url: expect.any(String), azureClientId: expect.any(String) };
    const metadata = yaml.metadata.map(({ name, value }: { name: string; value: string }) => ({
      name,
      value: values[name] ?? value,
    }));
    expect(component()).toEqual({ ...yaml, secrets: [], metadata });
    const { name } = Object(plan.resources.find(({ type }) => type.endsWith("/daprComponents")));
    expect(name).toBe(`cae-dapr-samples/${stateApiVariables.STATESTORE_NAME.default}`);
  });

  test("Cosmos DB is made as the component expects it", () => {
    const { database, collection } = Object.fromEntries(
      component().metadata.map(({ name, value }: { name: string; value: string }) => [name, value]),
    );
    const names = plan.resources.filter(({ type }) => type.includes("/sqlDatabases")).map(({ name }) => name);
    const account = plan.resources.find(({ type }) => type === "Microsoft.DocumentDB/databaseAccounts")?.name;
    expect(names).toEqual([`${account}/${database}`, `${account}/${database}/${collection}`]);
  });

  test("state-api agree who gives up first, and how large a value may be", () => {
    const { timeoutPolicy } = find(
      "Microsoft.App/managedEnvironments/daprComponents/resiliencyPolicies",
    ).outboundPolicy;
    const { STATESTORE_TIMEOUT_MS, MAX_BODY_BYTES } = readStateApiConfig(environmentOf("state-api"), []);
    expect(timeoutPolicy.responseTimeoutInSeconds * 1000).toBeLessThan(STATESTORE_TIMEOUT_MS);
    expect(app("state-api").configuration.dapr.httpMaxRequestSize * 2 ** 20).toBeGreaterThanOrEqual(MAX_BODY_BYTES);
  });

  describe("with the plan's environment and what the platform adds,", () => {
    const processes: Process[] = [];
    afterEach(async () => {
      for (const process of processes.splice(0)) await process.end();
    });
    async function run(starting: Promise<Process>): Promise<Process> {
      const started = await starting;
      processes.push(started);
      return started;
    }

    test("state-api saves to a component of the plan's name and scopes", async () => {
      process.env.DAPRD = await findDaprd();
      const folder = mkdtempSync(join(tmpdir(), "plan-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const { name } = Object(plan.resources.find(({ type }) => type.endsWith("/daprComponents")));
      const resource = {
        apiVersion: "dapr.io/v1alpha1",
        kind: "Component",
        metadata: { name: name.split("/").at(-1) },
        spec: { type: "state.in-memory", version: component().version, metadata: [] },
        scopes: component().scopes,
      };
      writeFileSync(join(folder, "component.yaml"), JSON.stringify(resource));
      const { appId } = app("state-api").configuration.dapr;
      const sidecar = await run(startSidecar({ appId, resources: [folder] }));
      const platform = { DAPR_HTTP_PORT: new URL(sidecar.origin).port };
      const { origin } = await run(startService("state-api", { ...environmentOf("state-api"), ...platform }));
      const saved = await fetch(`${origin}/state`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ key: "greeting", data: { hello: "Azure" } }),
      });
      expect(await saved.text()).toBe("Successfully wrote to statestore");
      expect(await (await fetch(`${origin}/state/greeting`)).json()).toEqual({ hello: "Azure" });
    });

    test("group-lister lists the plan's subscription as the plan's identity", async () => {
      const azure = await startAzure({
        userAssigned: [{ clientId, objectId: "00000000-0000-0000-0000-0000000000b2" }],
        subscriptions: [sampleSubscription, { ...sampleSubscription, id: subscription, groups: [] }],
      });
      onTestFinished(() => azure.close());
      const platform = {
        IDENTITY_ENDPOINT: `${azure.url}/msi/token`,
        IDENTITY_HEADER: identityHeader,
        AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
        NODE_EXTRA_CA_CERTS: azure.caFile,
      };
      const { origin } = await run(startService("group-lister", { ...environmentOf("group-lister"), ...platform }));
      expect(await (await fetch(`${origin}/groupz`)).json()).toEqual([]);
      const callers = azure.requests.filter(({ part }) => part === "arm").map(({ token }) => token?.clientId);
      expect(new Set(callers)).toEqual(new Set([clientId]));
    });

    test("welcome says what its revision says", async () => {
      const { origin } = await run(startService("welcome", environmentOf("welcome", greeting)));
      expect(await (await fetch(origin)).text()).toContain("Hello from v2!");
    });
  });
});
