// Plans of the real compiler: the settings of the environment, the Dapr component and the apps on Container Apps.
import { beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { at, listAt, numberAt, textAt } from "../support/at.ts";
import { environment, findBicepOrSkip, startBicep, tenant } from "../support/bicep.ts";
import { makePlans, type Plans } from "../support/plans.ts";

const path = await findBicepOrSkip();

describe.skipIf(!path)("the plan for Container Apps", { timeout: 120_000 }, () => {
  const names = ["containerapps", "containerapps-keyed", "blue-green"];
  const apps = ["state-api", "group-lister", "welcome"];
  const everyApp = names.flatMap((plan) => apps.map((name) => [plan, name] as const));
  let plans: Plans;

  beforeAll(async () => {
    plans = await makePlans(path ?? "", names);
  }, 120_000);

  const app = (plan: string, name: string) => plans.find(plan, "Microsoft.App/containerApps", name).properties;
  const ingress = (plan: string, name: string) => at(app(plan, name), "configuration.ingress");

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
      const subnet = plans.find("blue-green", "Microsoft.Network/virtualNetworks/subnets");
      expect(subnet.properties).toMatchObject({
        addressPrefix: "10.20.0.0/24",
        delegations: [{ properties: { serviceName: "Microsoft.App/environments" } }],
      });
      expect(plans.find("blue-green", "Microsoft.App/managedEnvironments").properties).toMatchObject({
        vnetConfiguration: { infrastructureSubnetId: subnet.id, internal: true },
        publicNetworkAccess: "Disabled",
      });
      const network = plans.find("blue-green", "Microsoft.Network/virtualNetworks");
      const zone = plans.find("blue-green", "Microsoft.Network/privateDnsZones");
      expect(zone.name).toMatch(/outputs\.domain\.value\]$/);
      expect(plans.find("blue-green", "Microsoft.Network/privateDnsZones/virtualNetworkLinks").properties).toEqual({
        registrationEnabled: false,
        virtualNetwork: { id: network.id },
      });
      expect(plans.find("blue-green", "Microsoft.Network/privateDnsZones/A")).toMatchObject({
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

    test("is deployed before state-api, because a sidecar loads components only at start", async () => {
      const bicep = startBicep(path ?? "");
      const { contents } = await bicep.compile("infra/bicep/modules/container-apps.bicep");
      bicep.close();
      expect(field(JSON.parse(contents), "resources")).toMatchObject({
        stateApi: { dependsOn: ["stateStore"] },
        stateStore: { dependsOn: ["environment"] },
        environment: { dependsOn: ["network"] },
      });
    });
  });

  test.for(everyApp)("%s: %s has a limited sidecar, probes, resources, a grace period and TLS only", ([plan, name]) => {
    const properties = app(plan, name);
    expect(at(properties, "configuration.dapr")).toMatchObject({
      enabled: true,
      appId: name,
      appPort: 8080,
      appProtocol: "http",
      httpMaxRequestSize: 4,
      httpReadBufferSize: 16,
      maxConcurrency: 256,
    });
    expect(ingress(plan, name)).toMatchObject({ targetPort: 8080, transport: "http", allowInsecure: false });
    expect(at(properties, "template.containers")).toEqual([
      expect.objectContaining({ name, resources: { cpu: 0.25, memory: "0.5Gi" } }),
    ]);
    const probes = listAt(properties, "template.containers.0.probes").map(
      (probe) => `${field(probe, "type")} ${at(probe, "httpGet.port")} ${at(probe, "httpGet.path")}`,
    );
    expect(probes).toEqual(["Startup 8080 /healthz", "Liveness 8080 /healthz", "Readiness 8080 /readyz"]);
    expect(at(properties, "template.terminationGracePeriodSeconds")).toBe(30);
  });

  test.for(everyApp)("%s: %s pulls its image with the identity that it runs as", ([plan, name]) => {
    const resource = plans.find(plan, "Microsoft.App/containerApps", name);
    const [id] = Object.keys(at(resource, "identity.userAssignedIdentities") ?? {});
    expect(id).toMatch(new RegExp(`/id-${name}$`));
    const server = expect.stringMatching(/^\[reference\('.*registries.*\)\.loginServer\]$/);
    expect(at(app(plan, name), "configuration.registries")).toEqual([{ server, identity: id }]);
  });

  test.for([
    ["containerapps", 1, 3, "50"],
    ["containerapps-keyed", 0, 1, "50"],
    ["blue-green", 0, 5, "20"],
  ] as const)("%s scales by concurrent requests, from %s to %s replicas", ([plan, min, max, concurrentRequests]) => {
    for (const name of apps) {
      expect(at(app(plan, name), "template.scale")).toEqual({
        minReplicas: min,
        maxReplicas: max,
        rules: [{ name: "http", http: { metadata: { concurrentRequests } } }],
      });
    }
  });

  test("access opens state-api and group-lister to nobody, to listed addresses, or to anyone", () => {
    const restricted = [{ name: "allowed-0", action: "Allow", ipAddressRange: `${environment.MY_ADDRESS}/32` }];
    for (const name of ["state-api", "group-lister"]) {
      expect(ingress("containerapps-keyed", name)).toMatchObject({ external: false, ipSecurityRestrictions: [] });
      expect(ingress("containerapps", name)).toMatchObject({ external: true, ipSecurityRestrictions: restricted });
      expect(ingress("blue-green", name)).toMatchObject({ external: true, ipSecurityRestrictions: [] });
    }
  });

  test("welcome is public, regardless of access", () => {
    for (const plan of names) {
      expect(ingress(plan, "welcome")).toMatchObject({ external: true, ipSecurityRestrictions: [] });
    }
  });

  test("an app without traffic settings has a single revision", () => {
    expect(at(app("containerapps", "state-api"), "configuration")).toMatchObject({
      activeRevisionsMode: "Single",
      ingress: { traffic: [{ latestRevision: true, weight: 100 }] },
    });
  });

  test("an app with traffic settings has labelled revisions, the new one among them", () => {
    const welcome = app("blue-green", "welcome");
    expect(at(welcome, "configuration")).toMatchObject({
      activeRevisionsMode: "Multiple",
      ingress: {
        traffic: [
          { revisionName: "welcome--v1", label: "blue", weight: 90 },
          { revisionName: "welcome--v2", label: "green", weight: 10 },
        ],
      },
    });
    expect(at(welcome, "template.revisionSuffix")).toBe("v2");
    expect(at(welcome, "template.containers.0.env")).toEqual([{ name: "WELCOME", value: "Hello from v2!" }]);
  });

  test.for(everyApp)("%s: the traffic weights of %s add up to 100", ([plan, name]) => {
    const weights = listAt(ingress(plan, name), "traffic").map((share) => numberAt(share, "weight"));
    expect(weights.reduce((sum, weight) => sum + weight)).toBe(100);
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
    const [secret, ...others] = listAt(app("blue-green", "welcome"), "configuration.secrets");
    expect(others).toEqual([]);
    expect(field(secret, "name")).toBe("override-use-mi-fic-assertion-client-id");
    expect(textAt(secret, "value")).toMatch(/userAssignedIdentities\/id-welcome', '[\d-]+'\)\.clientId\]$/);
    for (const name of ["state-api", "group-lister"]) {
      expect(at(app("blue-green", name), "configuration.secrets")).toEqual([]);
    }
  });
});
