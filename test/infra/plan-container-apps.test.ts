// Plans of the real compiler for Container Apps: the environment and the Dapr component of main.bicep, and each app of
// apps/.
import { beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { variables } from "../../services/welcome/config.ts";
import { at, listAt, textAt } from "../support/at.ts";
import { environment, findBicepOrSkip, type Resource, tenant } from "../support/bicep.ts";
import { shorten } from "../support/expressions.ts";
import { makePlans, type Plans, planIn } from "../support/plans.ts";

const path = await findBicepOrSkip();

describe.skipIf(!path)("the plan for Container Apps", { timeout: 120_000 }, () => {
  const apps = ["state-api", "group-lister", "welcome"];
  let plans: Plans;

  beforeAll(async () => {
    plans = await makePlans(path ?? "", ["containerapps", "containerapps-private", ...apps, "blue-green"]);
  }, 120_000);

  const type = "Microsoft.App/containerApps";
  const app = (plan: string) => plans.find(plan, type).properties;
  const ingress = (plan: string) => at(app(plan), "configuration.ingress");
  /** The app of a parameter file in an environment with more variables. */
  async function appWith(variables: Record<string, string>, file: string): Promise<Resource> {
    const env = { ...environment, ...variables };
    const { resources } = await planIn(path ?? "", env, `infra/bicep/parameters/${file}.bicepparam`);
    return resources.find((resource) => resource.type === type) ?? expect.fail(`no app in the plan of ${file}`);
  }

  describe("environment", () => {
    test("sends logs without a key, and traces of apps and sidecars through OpenTelemetry", () => {
      const { id, properties } = plans.find("containerapps", "Microsoft.App/managedEnvironments");
      expect(properties).toMatchObject({
        appLogsConfiguration: { destination: "azure-monitor" },
        openTelemetryConfiguration: {
          tracesConfiguration: { destinations: ["appInsights"], includeDapr: true },
          logsConfiguration: { destinations: ["appInsights"] },
        },
        vnetConfiguration: null,
        publicNetworkAccess: "Enabled",
      });
      const workspace = plans.find("containerapps", "Microsoft.OperationalInsights/workspaces");
      expect(plans.find("containerapps", "Microsoft.Insights/diagnosticSettings")).toMatchObject({
        id: expect.stringContaining(id),
        properties: { workspaceId: workspace.id, logs: [{ categoryGroup: "allLogs", enabled: true }] },
      });
    });

    test("an environment with a private network is reachable only from that network, which resolves the names of its apps", () => {
      const subnet = plans.find("containerapps-private", "Microsoft.Network/virtualNetworks/subnets");
      expect(subnet.properties).toMatchObject({
        addressPrefix: "10.20.0.0/24",
        delegations: [{ properties: { serviceName: "Microsoft.App/environments" } }],
      });
      expect(plans.find("containerapps-private", "Microsoft.App/managedEnvironments").properties).toMatchObject({
        vnetConfiguration: { infrastructureSubnetId: subnet.id, internal: true },
        publicNetworkAccess: "Disabled",
      });
      const network = plans.find("containerapps-private", "Microsoft.Network/virtualNetworks");
      const zone = plans.find("containerapps-private", "Microsoft.Network/privateDnsZones");
      expect(zone.name).toMatch(/outputs\.domain\.value\]$/);
      expect(
        plans.find("containerapps-private", "Microsoft.Network/privateDnsZones/virtualNetworkLinks").properties,
      ).toEqual({
        registrationEnabled: false,
        virtualNetwork: { id: network.id },
      });
      expect(plans.find("containerapps-private", "Microsoft.Network/privateDnsZones/A")).toMatchObject({
        name: expect.stringMatching(/domain\.value, '\*'\)\]$/),
        properties: { aRecords: [{ ipv4Address: expect.stringMatching(/outputs\.address\.value\]$/) }] },
      });
    });
  });

  describe("Dapr component statestore", () => {
    test("uses the identity of state-api, and is scoped to state-api", () => {
      const { properties } = plans.find("containerapps", "Microsoft.App/managedEnvironments/daprComponents");
      expect(properties).toMatchObject({ secrets: [], scopes: ["state-api"] });
      expect(field(properties, "metadata")).toContainEqual({
        name: "azureClientId",
        value: expect.stringMatching(/userAssignedIdentities\/id-state-api', '[\d-]+'\)\.clientId\]$/),
      });
    });

    test("has a timeout of 1 s, a circuit breaker and no retry", () => {
      const type = "Microsoft.App/managedEnvironments/daprComponents/resiliencyPolicies";
      expect(plans.find("containerapps", type).properties).toEqual({
        outboundPolicy: {
          timeoutPolicy: { responseTimeoutInSeconds: 1 },
          circuitBreakerPolicy: { consecutiveErrors: 20, timeoutInSeconds: 2 },
        },
      });
    });
  });

  test.for(apps)("the plan of %s is that app alone", (name) => {
    expect(plans.of(name).resources).toMatchObject([{ type, name, tags: { "azd-service-name": name } }]);
  });

  test.for(apps)("%s runs in the environment that main.bicep creates", (name) => {
    const { id } = plans.find("containerapps", "Microsoft.App/managedEnvironments");
    expect(app(name)).toMatchObject({ environmentId: id });
  });

  test.for(apps)("%s has a limited sidecar, probes, resources, a grace period and TLS only", (name) => {
    const properties = app(name);
    expect(at(properties, "configuration.dapr")).toMatchObject({
      enabled: true,
      appId: name,
      appPort: 8080,
      appProtocol: "http",
      httpMaxRequestSize: 4,
      httpReadBufferSize: 16,
      maxConcurrency: 256,
    });
    expect(ingress(name)).toMatchObject({ targetPort: 8080, transport: "http", allowInsecure: false });
    expect(at(properties, "template.containers")).toEqual([
      expect.objectContaining({ name, resources: { cpu: 0.25, memory: "0.5Gi" } }),
    ]);
    const probes = listAt(properties, "template.containers.0.probes").map(
      (probe) => `${field(probe, "type")} ${at(probe, "httpGet.port")} ${at(probe, "httpGet.path")}`,
    );
    expect(probes).toEqual(["Startup 8080 /healthz", "Liveness 8080 /healthz", "Readiness 8080 /readyz"]);
    expect(at(properties, "template.terminationGracePeriodSeconds")).toBe(30);
  });

  test.for(apps)("%s pulls the image of SERVICE_*_IMAGE_NAME with the identity that main.bicep creates", (name) => {
    const { id } = plans.find("containerapps", "Microsoft.ManagedIdentity/userAssignedIdentities", `id-${name}`);
    expect(Object.keys(at(plans.find(name, type), "identity.userAssignedIdentities") ?? {})).toEqual([id]);
    expect(at(app(name), "configuration.registries")).toEqual([{ server: "registry.azurecr.io", identity: id }]);
    expect(at(app(name), "template.containers.0.image")).toBe(`registry.azurecr.io/${name}:v1`);
  });

  test.for([...apps.map((name) => [name, 1, 3, "50"] as const), ["blue-green", 0, 5, "20"] as const])(
    "%s scales by concurrent requests, from %s to %s replicas",
    ([plan, min, max, concurrentRequests]) => {
      expect(at(app(plan), "template.scale")).toEqual({
        minReplicas: min,
        maxReplicas: max,
        rules: [{ name: "http", http: { metadata: { concurrentRequests } } }],
      });
    },
  );

  describe("access", () => {
    test.for(["state-api", "group-lister"])(
      "%s is open to MY_ADDRESS, or without it to no caller outside",
      async (name) => {
        expect(ingress(name)).toMatchObject({
          external: true,
          ipSecurityRestrictions: [
            { name: "allowed-0", action: "Allow", ipAddressRange: `${environment.MY_ADDRESS}/32` },
          ],
        });
        const inside = await appWith({ MY_ADDRESS: "" }, name);
        expect(at(inside, "properties.configuration.ingress")).toMatchObject({
          external: false,
          ipSecurityRestrictions: [],
        });
      },
    );

    test("welcome is open to everyone", () => {
      expect(ingress("welcome")).toMatchObject({ external: true, ipSecurityRestrictions: [] });
    });
  });

  describe("a release", () => {
    // In Multiple mode, only `latestRevision: true` waits until the new revision is ready:
    // https://github.com/microsoft/azure-container-apps/issues/497
    test.for(apps)("%s moves all traffic to the new revision when it is ready, and keeps no other", (name) => {
      expect(at(app(name), "configuration")).toMatchObject({
        activeRevisionsMode: "Single",
        ingress: { traffic: [{ latestRevision: true, weight: 100 }] },
      });
    });

    test.for(apps)("%s with LIVE keeps the traffic on that revision, and gives the new one a label", async (name) => {
      const { properties } = await appWith({ LIVE: `${name}--0000001` }, name);
      expect(at(properties, "configuration")).toMatchObject({
        activeRevisionsMode: "Multiple",
        ingress: {
          traffic: [
            { revisionName: `${name}--0000001`, label: "blue", weight: 100 },
            { latestRevision: true, label: "green", weight: 0 },
          ],
        },
      });
    });

    test.for(apps)("%s with CANDIDATE_WEIGHT sends that percentage to the new revision", async (name) => {
      const { properties } = await appWith({ LIVE: `${name}--0000001`, CANDIDATE_WEIGHT: "30" }, name);
      expect(at(properties, "configuration.ingress.traffic")).toEqual([
        { revisionName: `${name}--0000001`, label: "blue", weight: 70 },
        { latestRevision: true, label: "green", weight: 30 },
      ]);
    });

    test("LIVE with a revision of another app leaves an app as it is", async () => {
      const { properties } = await appWith({ LIVE: "welcome--0000001" }, "state-api");
      expect(properties).toEqual(app("state-api"));
    });

    // A suffix that was used before is refused: https://github.com/microsoft/azure-container-apps/issues/650
    test.for([...apps, "blue-green"])("%s leaves the name of the revision to Azure", (plan) => {
      expect(listAt(app(plan), "template.containers")).toHaveLength(1);
      expect(at(app(plan), "template")).not.toHaveProperty("revisionSuffix");
    });

    test.for(["state-api", "welcome"])(
      "WELCOME changes the environment variables of %s and nothing else",
      async (name) => {
        const { properties } = await appWith({ WELCOME: "Hello from v2!" }, name);
        const added = { name: "WELCOME", value: "Hello from v2!" };
        const before = app(name);
        expect(listAt(before, "template.containers.0.env")).not.toContainEqual(added);
        expect(listAt(properties, "template.containers.0.env")).toContainEqual(added);
        const without = JSON.stringify(properties, (_key, value) =>
          Array.isArray(value) ? value.filter((item) => field(item, "name") !== "WELCOME") : value,
        );
        expect(JSON.parse(without)).toEqual(before);
      },
    );
  });

  describe("demosecret", () => {
    test("welcome reads it from the vault with its identity, and finds it as the file SECRET_FILE", () => {
      const welcome = plans.find("welcome", type);
      const [identity] = Object.keys(at(welcome, "identity.userAssignedIdentities") ?? {});
      expect(at(app("welcome"), "configuration.secrets")).toEqual([
        {
          name: "demosecret",
          // the suffix starts with a dot: .vault.azure.net
          keyVaultUrl: `[format('https://{0}{1}/secrets/demosecret', '${environment.AZURE_KEY_VAULT_NAME}', environment().suffixes.keyvaultDns)]`,
          identity,
        },
      ]);
      const [volume] = listAt(app("welcome"), "template.volumes");
      expect(volume).toMatchObject({
        storageType: "Secret",
        secrets: [{ secretRef: "demosecret", path: "demosecret" }],
      });
      const [mount] = listAt(app("welcome"), "template.containers.0.volumeMounts");
      expect(field(mount, "volumeName")).toBe(field(volume, "name"));
      expect(`${textAt(mount, "mountPath")}/${at(volume, "secrets.0.path")}`).toBe(variables.SECRET_FILE.default);
    });

    test.for(["state-api", "group-lister"])("%s has no secret and no volume", (name) => {
      expect(at(app(name), "configuration.secrets")).toEqual([]);
      expect(at(app(name), "template.volumes")).toEqual([]);
    });
  });

  test.for(apps)("the outputs of %s are its URL and the name of its newest revision", (name) => {
    const prefix = name.toUpperCase().replace("-", "_");
    const { outputs } = plans.of(name);
    expect(Object.keys(outputs).sort()).toEqual([`${prefix}_REVISION`, `${prefix}_URL`]);
    expect(shorten(outputs[`${prefix}_URL`] ?? "")).toMatch(/^\w+\.url$/);
    expect(shorten(outputs[`${prefix}_REVISION`] ?? "")).toMatch(/^\w+\.revision$/);
  });

  test("signIn requires callers of welcome to sign in, with the identity of welcome instead of a client secret", () => {
    const auth = plans.find("blue-green", "Microsoft.App/containerApps/authConfigs");
    expect(auth.name).toBe("welcome/current");
    expect(auth.properties).toMatchObject({
      platform: { enabled: true },
      globalValidation: { unauthenticatedClientAction: "RedirectToLoginPage" },
      identityProviders: {
        azureActiveDirectory: {
          registration: {
            clientId: "44444444-4444-4444-4444-444444444444",
            clientSecretSettingName: "override-use-mi-fic-assertion-client-id",
            openIdIssuer: `[format('{0}{1}/v2.0', environment().authentication.loginEndpoint, '${tenant}')]`,
          },
        },
      },
    });
    const secret = listAt(app("blue-green"), "configuration.secrets").find(
      (item) => field(item, "name") === "override-use-mi-fic-assertion-client-id",
    );
    expect(textAt(secret, "value")).toMatch(/userAssignedIdentities\/id-welcome', '[\d-]+'\)\.clientId\]$/);
  });
});
