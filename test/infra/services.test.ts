// Compares the plans for Container Apps with the services, their OpenAPI documents, dapr.yaml and components/, and runs
// each service with the environment variables of its plan.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { variables as groupListerVariables, readGroupListerConfig } from "../../services/group-lister/config.ts";
import { openapi as groupListerApi } from "../../services/group-lister/openapi.ts";
import { commonVariables, type Variable } from "../../services/runtime/config.ts";
import { field } from "../../services/runtime/field.ts";
import { readStateApiConfig, variables as stateApiVariables } from "../../services/state-api/config.ts";
import { openapi as stateApiApi } from "../../services/state-api/openapi.ts";
import { readAssets } from "../../services/welcome/assets.ts";
import { readWelcomeConfig, variables as welcomeVariables } from "../../services/welcome/config.ts";
import { openapi as welcomeApi } from "../../services/welcome/openapi.ts";
import { PUBLIC_API } from "../../services/welcome/sign-in.ts";
import { identityHeader } from "../../stand-ins/azure/defaults.ts";
import { sampleSubscription } from "../../stand-ins/azure/sample.ts";
import { startAzure } from "../../stand-ins/azure/start.ts";
import { findDaprd } from "../../tools/daprd/find.ts";
import { readTemplate } from "../../tools/launch/template.ts";
import { at, listAt, numberAt, textAt } from "../support/at.ts";
import { environment, findBicepOrSkip, subscription } from "../support/bicep.ts";
import { makePlans, type Plans } from "../support/plans.ts";
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
    read: readWelcomeConfig,
  },
};

describe.skipIf(!path)("the plans for Container Apps", { timeout: 120_000 }, () => {
  const clientId = "00000000-0000-0000-0000-0000000000c2";
  const plan = "containerapps"; // everything but the apps, each of which has a plan of its own
  const withSignIn = "blue-green"; // and with a greeting
  let plans: Plans;
  let inside: Plans;
  let direct: Plans;

  beforeAll(async () => {
    plans = await makePlans(path ?? "", [plan, withSignIn, ...Object.keys(services)]);
    inside = await makePlans(path ?? "", Object.keys(services), { MY_ADDRESS: "" });
    direct = await makePlans(path ?? "", ["state-api", "group-lister"], { DIRECT_CALLS: "anywhere" });
  }, 120_000);

  const app = (of: string) => plans.find(of, "Microsoft.App/containerApps").properties;
  const component = () => plans.find(plan, "Microsoft.App/managedEnvironments/daprComponents");
  /**
   * Environment variables of an app. Where the plan has an expression for a client id, this is `clientId`; where it has
   * one for Entra ID, this is the host of the public cloud.
   */
  const environmentOf = (of: string, from = plans): Record<string, string> =>
    Object.fromEntries(
      listAt(from.find(of, "Microsoft.App/containerApps").properties, "template.containers.0.env").map((variable) => [
        textAt(variable, "name"),
        textAt(variable, "value")
          .replace(/^\[reference\('.*'\)\.clientId\]$/, clientId)
          .replace(
            /^\[format\('(https:\/\/)\{0\}', split\(.*\.loginEndpoint, '\/'\)\[2\]\)\]$/,
            "$1login.microsoftonline.com",
          ),
      ]),
    );
  /** The address that the images listen on, and the token that the platform gives to an app and its sidecar. */
  const [, HOST = ""] = /\bHOST=(\S+)/.exec(readFileSync(join(root, "Dockerfile"), "utf8")) ?? [];
  const platform = { HOST, APP_API_TOKEN: "token-of-the-platform" };
  /** A configuration as environment variables. */
  const texts = (config: object) =>
    Object.fromEntries(Object.entries(config).map(([name, value]) => [name, `${value}`]));

  test("have the same apps as dapr.yaml, with the same app ids, in the environment that main.bicep creates", () => {
    const apps = readTemplate(join(root, "dapr.yaml")).apps.filter(({ appID }) => appID in services);
    expect(apps.map(({ appID }) => appID).sort()).toEqual(Object.keys(services).sort());
    const { id } = plans.find(plan, "Microsoft.App/managedEnvironments");
    for (const { appID } of apps) {
      expect(at(app(appID), "environmentId")).toBe(id);
      expect(plans.find(appID, "Microsoft.App/containerApps").name).toBe(appID);
      expect(at(app(appID), "configuration.dapr.appId")).toBe(appID);
    }
  });

  describe.each(Object.entries(services))("%s", (name, { variables, paths, read }) => {
    test("gets only variables that the service reads, with values that it accepts on the address of the images", () => {
      const [more, from] = name === "welcome" ? [withSignIn, plans] : [name, direct];
      for (const env of [environmentOf(name), environmentOf(more, from)]) {
        expect(Object.keys(variables)).toEqual(expect.arrayContaining(Object.keys(env)));
        expect(texts(read({ ...platform, ...env }))).toMatchObject(env);
      }
    });

    test("with and without MY_ADDRESS, starts without the token of the platform only if it is welcome", () => {
      for (const from of [plans, inside]) {
        const env = environmentOf(name, from);
        expect(texts(read({ ...platform, ...env }))).toMatchObject(env);
        const start = () => read({ HOST, ...env });
        if (name === "welcome") start();
        else expect(start).toThrow(/nothing checks who calls the service/);
      }
    });

    test("has the port and probe paths of the service, and a grace period longer than its shutdown", () => {
      const properties = app(name);
      const port = commonVariables.PORT.default;
      expect(at(properties, "configuration.ingress.targetPort")).toBe(port);
      expect(at(properties, "configuration.dapr.appPort")).toBe(port);
      for (const probe of listAt(properties, "template.containers.0.probes")) {
        expect(at(probe, "httpGet.port")).toBe(port);
        expect(paths).toHaveProperty([textAt(probe, "httpGet.path"), "get"]);
      }
      const gracePeriodMs = numberAt(properties, "template.terminationGracePeriodSeconds") * 1000;
      expect(gracePeriodMs).toBeGreaterThan(commonVariables.SHUTDOWN_TIMEOUT_MS.default);
    });
  });

  test("have the component of components/cosmos/containerapps.yaml, named as state-api expects", () => {
    const file = parse(readFileSync(join(root, "components/cosmos/containerapps.yaml"), "utf8"));
    const metadata = listAt(file, "metadata").map((item) =>
      ["url", "azureClientId"].includes(textAt(item, "name"))
        ? { name: field(item, "name"), value: expect.any(String) }
        : item,
    );
    expect(component().properties).toEqual({ ...file, secrets: [], metadata });
    expect(component().name).toBe(`cae-dapr-samples/${stateApiVariables.STATESTORE_NAME.default}`);
  });

  test("create the database and the container that the component names", () => {
    const settings = new Map(
      listAt(component().properties, "metadata").map((item) => [field(item, "name"), field(item, "value")]),
    );
    const { resources } = plans.of(plan);
    const names = resources.filter(({ type }) => type.includes("/sqlDatabases")).map(({ name }) => name);
    const account = plans.find(plan, "Microsoft.DocumentDB/databaseAccounts").name;
    const database = `${account}/${settings.get("database")}`;
    expect(names).toEqual([database, `${database}/${settings.get("collection")}`]);
  });

  test("mount the secret of main.bicep's vault where GET /api/secret of welcome reads it", () => {
    const [mount] = listAt(app("welcome"), "template.containers.0.volumeMounts");
    const [volume] = listAt(app("welcome"), "template.volumes");
    const [secret] = listAt(app("welcome"), "configuration.secrets");
    expect(volume).toMatchObject({ name: field(mount, "volumeName"), storageType: "Secret" });
    expect(`${textAt(mount, "mountPath")}/${textAt(volume, "secrets.0.path")}`).toBe(
      welcomeVariables.SECRET_FILE.default,
    );
    expect(at(volume, "secrets.0.secretRef")).toBe(field(secret, "name"));
    const identities = plans.of(plan).resources.filter(({ type }) => type.endsWith("/userAssignedIdentities"));
    expect(field(secret, "identity")).toBe(identities.find(({ name }) => name === "id-welcome")?.id);
    const created = plans.find(plan, "Microsoft.KeyVault/vaults/secrets").name;
    const [, name = ""] = /\/secrets\/([\w-]+)/.exec(textAt(secret, "keyVaultUrl")) ?? [];
    expect(created).toMatch(new RegExp(`(/|, ')${RegExp.escape(name)}('\\)\\])?$`));
    expect(textAt(secret, "keyVaultUrl")).toContain(environment.AZURE_KEY_VAULT_NAME);
  });

  test("the component times out before state-api, and the sidecar accepts the largest body of state-api", () => {
    const policy = plans.find(plan, "Microsoft.App/managedEnvironments/daprComponents/resiliencyPolicies").properties;
    const timeoutMs = numberAt(policy, "outboundPolicy.timeoutPolicy.responseTimeoutInSeconds") * 1000;
    const maxRequestBytes = numberAt(app("state-api"), "configuration.dapr.httpMaxRequestSize") * 2 ** 20;
    const { STATESTORE_TIMEOUT_MS, MAX_BODY_BYTES } = readStateApiConfig(environmentOf("state-api"), []);
    expect(timeoutMs).toBeLessThan(STATESTORE_TIMEOUT_MS);
    expect(maxRequestBytes).toBeGreaterThanOrEqual(MAX_BODY_BYTES);
  });

  describe("with the environment variables of the plan and of the platform", () => {
    const processes: Process[] = [];
    afterEach(async () => {
      for (const process of processes.splice(0)) await process.end();
    });
    async function run(starting: Promise<Process>): Promise<Process> {
      const started = await starting;
      processes.push(started);
      return started;
    }

    test("state-api saves to a component with the name and scopes of the plan", async () => {
      process.env.DAPRD = await findDaprd();
      const folder = mkdtempSync(join(tmpdir(), "plan-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const { name, properties } = component();
      const resource = {
        apiVersion: "dapr.io/v1alpha1",
        kind: "Component",
        metadata: { name: name.split("/").at(-1) },
        spec: { type: "state.in-memory", version: field(properties, "version"), metadata: [] },
        scopes: field(properties, "scopes"),
      };
      writeFileSync(join(folder, "component.yaml"), JSON.stringify(resource));
      const appId = textAt(app("state-api"), "configuration.dapr.appId");
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

    test.each([
      ["state-api", "DELETE", "/state/greeting"],
      ["group-lister", "GET", "/groupz"],
    ])("%s refuses a call of another app, unless it was deployed with DIRECT_CALLS", async (name, method, path) => {
      // Nothing listens on port 9: no sidecar and no endpoint of an identity.
      const absent = {
        DAPR_HTTP_PORT: "9",
        AZURE_TOKEN_CREDENTIALS: "ManagedIdentityCredential",
        IDENTITY_ENDPOINT: "http://127.0.0.1:9",
        IDENTITY_HEADER: identityHeader,
      };
      const statusWith = async (from: Plans) => {
        const env = { ...environmentOf(name, from), ...platform, ...absent };
        const { origin } = await run(startService(name, env, "/healthz"));
        return (await fetch(`${origin}${path}`, { method })).status;
      };
      expect(await statusWith(plans)).toBe(401);
      expect(await statusWith(direct)).toBe(503);
    });

    test("group-lister lists the subscription of the plan with the identity of the plan", async () => {
      const azure = await startAzure({
        record: true,
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

    test("welcome returns the greeting of its release", async () => {
      const { origin } = await run(startService("welcome", environmentOf(withSignIn)));
      expect(await (await fetch(origin)).text()).toContain("Hello from v2!");
    });

    test("welcome serves the paths that the platform's sign-in leaves out without a token, and no other one", async () => {
      const auth = plans.find(withSignIn, "Microsoft.App/containerApps/authConfigs").properties;
      const excluded = listAt(auth, "globalValidation.excludedPaths").map(String);
      expect(excluded.toSorted()).toEqual(
        [
          "/",
          "/healthz",
          "/openapi.json",
          "/readyz",
          ...Object.keys(readAssets({ signIn: true }).others),
          ...PUBLIC_API,
        ].toSorted(),
      );
      const { origin } = await run(startService("welcome", environmentOf(withSignIn)));
      const statusOf = async (path: string) => (await fetch(`${origin}${path}`)).status;
      for (const path of excluded) expect([path, await statusOf(path)]).toEqual([path, 200]);
      const others = Object.keys(welcomeApi.paths).filter((path) => !excluded.includes(path) && path !== "/metrics");
      expect(others).not.toEqual([]);
      for (const path of others) {
        expect([path, await statusOf(path.replace("{key}", "greeting"))]).toEqual([path, 401]);
      }
    });
  });
});
