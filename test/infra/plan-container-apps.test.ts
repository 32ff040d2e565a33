// Plans of the real compiler for Container Apps: the environment and the Dapr component of main.bicep, and each app of
// apps/.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { variables } from "../../services/welcome/config.ts";
import { at, listAt, objectAt, textAt } from "../support/at.ts";
import { imageVariable } from "../support/azd.ts";
import { environment, findBicepOrSkip, type Resource, startBicep, tenant } from "../support/bicep.ts";
import { errorsIn, makePlans, type Plans, planIn } from "../support/plans.ts";
import { root } from "../support/processes.ts";
import { shorten } from "../support/shorten.ts";

const path = await findBicepOrSkip();

describe.skipIf(!path)("the plan for Container Apps", { timeout: 120_000 }, () => {
  const apps = ["state-api", "group-lister", "welcome"];
  let plans: Plans;

  beforeAll(async () => {
    plans = await makePlans(path ?? "", [
      "containerapps",
      "containerapps-private",
      "containerapps-existing-network",
      ...apps,
      "blue-green",
      "welcome-sign-in",
      "state-api-scale-rules",
    ]);
  }, 120_000);

  const type = "Microsoft.App/containerApps";
  const authType = `${type}/authConfigs`;
  const app = (plan: string) => plans.find(plan, type).properties;
  const ingress = (plan: string) => at(app(plan), "configuration.ingress");
  /** The app of a parameter file in an environment with more variables. */
  async function appWith(variables: Record<string, string>, file: string): Promise<Resource> {
    const env = { ...environment, ...variables };
    const { resources } = await planIn(path ?? "", env, `infra/bicep/parameters/${file}.bicepparam`);
    return resources.find((resource) => resource.type === type) ?? expect.fail(`no app in the plan of ${file}`);
  }

  const signIn = { WELCOME_SIGN_IN_CLIENT_ID: "55555555-5555-5555-5555-555555555555" };

  const errorsOf = (variables: Record<string, string>, file: string) =>
    errorsIn(path ?? "", { ...environment, ...variables }, `infra/bicep/parameters/${file}.bicepparam`);

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
      const [logs, ...others] = plans
        .of("containerapps")
        .resources.filter((resource) => resource.id === `${id}/providers/Microsoft.Insights/diagnosticSettings/logs`);
      expect(others).toEqual([]);
      expect(logs?.properties).toEqual({
        workspaceId: workspace.id,
        logs: [{ categoryGroup: "allLogs", enabled: true }],
      });
    });

    test("encrypts the traffic between the ingress and the apps, with and without a network of its own", () => {
      for (const name of ["containerapps", "containerapps-private", "containerapps-existing-network"]) {
        expect(plans.find(name, "Microsoft.App/managedEnvironments").properties).toMatchObject({
          peerTrafficConfiguration: { encryption: { enabled: true } },
        });
      }
    });

    test("examples/containerapps-private.bicepparam creates a network, and resolves the apps to its private address", () => {
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
      expect(shorten(zone.name)).toBe("environment.domain");
      const link = plans.find("containerapps-private", "Microsoft.Network/privateDnsZones/virtualNetworkLinks");
      expect(link.properties).toEqual({ registrationEnabled: false, virtualNetwork: { id: network.id } });
      const record = plans.find("containerapps-private", "Microsoft.Network/privateDnsZones/A");
      expect(shorten(record.name)).toBe("environment.domain/*");
      expect(shorten(textAt(record, "properties.aRecords.0.ipv4Address"))).toBe("environment.address");
    });

    test("examples/containerapps-existing-network.bicepparam uses the subnet, adds one record to the zone and no role", () => {
      const own = "/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-network";
      const { resources } = plans.of("containerapps-existing-network");
      expect(
        plans.find("containerapps-existing-network", "Microsoft.App/managedEnvironments").properties,
      ).toMatchObject({
        vnetConfiguration: {
          infrastructureSubnetId: `${own}/providers/Microsoft.Network/virtualNetworks/vnet-spoke/subnets/container-apps`,
          internal: true,
        },
        publicNetworkAccess: "Disabled",
      });
      const network = resources.filter((resource) => resource.type.startsWith("Microsoft.Network/"));
      expect(network.map((resource) => resource.type)).toEqual(["Microsoft.Network/privateDnsZones/A"]);
      expect(shorten(network[0]?.name ?? "")).toMatch(
        /^\[format\('\{0\}\/\{1\}', 'westeurope.azurecontainerapps.io', .*'\*\.\{0\}'/,
      );
      expect(network[0]?.id).toMatch(/^\[resourceId\('55555555-[5-]+', 'rg-network', /);
      const elsewhere = (plan: string) =>
        plans
          .of(plan)
          .resources.filter(({ id }) => !/rg-dapr-samples|cr[a-z0-9]{13}/.test(id))
          .map(({ id }) => id);
      expect(elsewhere("containerapps-existing-network")).toEqual(elsewhere("containerapps"));
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
          circuitBreakerPolicy: { consecutiveErrors: 100, timeoutInSeconds: 2 },
        },
      });
    });
  });

  test.for(apps)("the plan of %s is that app alone, with the sign-in settings of the platform for welcome", (name) => {
    const { resources } = plans.of(name);
    expect(resources).toMatchObject([
      { type, name, tags: { "azd-service-name": name } },
      ...(name === "welcome" ? [{ type: authType }] : []),
    ]);
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

  /** The id of an identity that main.bicep creates. */
  const identity = (name: string) =>
    plans.find("containerapps", "Microsoft.ManagedIdentity/userAssignedIdentities", name).id;

  test.for(apps)("%s pulls the image of SERVICE_*_IMAGE_NAME with the identity id-pull of main.bicep", (name) => {
    const pull = identity("id-pull");
    expect(Object.keys(at(plans.find(name, type), "identity.userAssignedIdentities") ?? {})).toEqual([
      identity(`id-${name}`),
      pull,
    ]);
    expect(at(app(name), "configuration.registries")).toEqual([{ server: "registry.azurecr.io", identity: pull }]);
    expect(at(app(name), "template.containers.0.image")).toBe(`registry.azurecr.io/${name}:v1`);
  });

  test.for([...apps, "examples/state-api-scale-rules", "examples/welcome-sign-in", "examples/welcome-tags"])(
    "%s takes the image of IMAGES if it has none of its own, and pulls it without an identity",
    async (file) => {
      const [name = ""] = apps.filter((each) => file.includes(each));
      const IMAGES = "ghcr.io/owner/dapr-on-azure-samples";
      const { properties } = await appWith({ IMAGES, [imageVariable(name)]: "" }, file);
      const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
      expect(at(properties, "template.containers.0.image")).toBe(`${IMAGES}/${name}:${version}`);
      expect(at(properties, "configuration.registries")).toEqual([]);
      const { properties: withBoth } = await appWith({ IMAGES }, file);
      expect(at(withBoth, "template.containers.0.image")).toBe(`registry.azurecr.io/${name}:v1`);
    },
  );

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

  describe("examples/state-api-scale-rules.bicepparam", () => {
    const plan = "state-api-scale-rules";
    const scaler = () => plans.find(plan, "Microsoft.ManagedIdentity/userAssignedIdentities");

    test("has the text of state-api but for comments and the scale, so that LIVE and the others work with it, too", () => {
      const read = (file: string) => readFileSync(join(root, `infra/bicep/parameters/${file}.bicepparam`), "utf8");
      const own = /^\/\/.*\n|^using .*\n|^param scale = \{(.*\}|\n[\s\S]*?\n\})\n/gm;
      expect(read(`examples/${plan}`).replaceAll(own, "")).toBe(read("state-api").replaceAll(own, ""));
    });

    test("scales by requests, CPU, messages of a queue that an identity reads, and time, and never to zero", () => {
      expect(at(app(plan), "template.scale")).toEqual({
        minReplicas: 1,
        maxReplicas: 10,
        rules: [
          { name: "http", http: { metadata: { concurrentRequests: "50" } } },
          { name: "cpu-0", custom: { type: "cpu", metadata: { type: "Utilization", value: "70" } } },
          {
            name: "queue-1",
            azureQueue: { accountName: "stwork", queueName: "orders", queueLength: 20, identity: scaler().id },
          },
          {
            name: "custom-2",
            custom: {
              type: "cron",
              metadata: {
                timezone: "Europe/Berlin",
                start: "0 8 * * 1-5",
                end: "0 18 * * 1-5",
                desiredReplicas: "3",
              },
            },
          },
        ],
      });
    });

    test("no container can use the identity of the rule, which is the app's third", () => {
      expect(scaler().name).toBe("id-state-api-scaler");
      expect(Object.keys(at(plans.find(plan, type), "identity.userAssignedIdentities") ?? {})).toEqual([
        identity("id-state-api"),
        identity("id-pull"),
        scaler().id,
      ]);
      expect(at(app(plan), "configuration.identitySettings")).toEqual([
        { identity: identity("id-state-api"), lifecycle: "All" },
        { identity: identity("id-pull"), lifecycle: "None" },
        { identity: scaler().id, lifecycle: "None" },
      ]);
    });

    test("its identity has one role: Storage Queue Data Reader on the queue of QUEUE_ID", () => {
      const { id, properties } = plans.find(plan, "Microsoft.Authorization/roleAssignments");
      expect(id).toContain(`[extensionResourceId('${environment.QUEUE_ID}', 'Microsoft.Authorization/roleAssignments'`);
      expect(textAt(properties, "roleDefinitionId")).toMatch(/\/19e7f393-937e-4f77-808e-94535e297925$/);
      expect(textAt(properties, "principalId")).toMatch(
        /^\[reference\('[^']+\/id-state-api-scaler', .*\.principalId\]$/,
      );
    });

    test("without the rules, the plan has no identity, no role and no other change", () => {
      const { resources } = plans.of("state-api");
      expect(resources.map((resource) => resource.type)).toEqual([type]);
      const scale = at(app(plan), "template.scale");
      expect({ ...objectAt(app("state-api"), "template"), scale }).toEqual(at(app(plan), "template"));
    });
  });

  describe("access", () => {
    const mine = {
      external: true,
      ipSecurityRestrictions: [{ name: "allowed-0", action: "Allow", ipAddressRange: `${environment.MY_ADDRESS}/32` }],
    };
    const closed = { external: false, ipSecurityRestrictions: [] };

    test("welcome is open to MY_ADDRESS, or without it to no caller outside", async () => {
      expect(ingress("welcome")).toMatchObject(mine);
      const inside = await appWith({ MY_ADDRESS: "" }, "welcome");
      expect(at(inside, "properties.configuration.ingress")).toMatchObject(closed);
    });

    describe.each(["state-api", "group-lister"])("%s", (name) => {
      test.for(["", environment.MY_ADDRESS])(
        "with MY_ADDRESS=%s and without DIRECT_CALLS is open to no caller outside",
        async (MY_ADDRESS) => {
          const { properties } = await appWith({ MY_ADDRESS }, name);
          expect(at(properties, "configuration.ingress")).toMatchObject(closed);
        },
      );

      test("with MY_ADDRESS and DIRECT_CALLS=anywhere is open to MY_ADDRESS", async () => {
        const { properties } = await appWith({ DIRECT_CALLS: "anywhere" }, name);
        expect(at(properties, "configuration.ingress")).toMatchObject(mine);
      });

      test.for([
        [{ MY_ADDRESS: "", DIRECT_CALLS: "anywhere" }, "DIRECT_CALLS=anywhere needs MY_ADDRESS. Set MY_ADDRESS to"],
        [
          { DIRECT_CALLS: "loopback" },
          "DIRECT_CALLS=loopback is not valid. Set it to anywhere to call the app directly",
        ],
        [{ DIRECT_CALLS: "true" }, "DIRECT_CALLS=true is not valid."],
      ] as const)("with %j is rejected, with what to set", async ([variables, message]) => {
        expect(await errorsOf(variables, name)).toEqual([expect.stringContaining(message)]);
      });
    });

    test.for(apps)(
      "WELCOME_ACCESS=anyone with sign-in opens welcome to every address, and changes no other app: %s",
      async (name) => {
        const { properties } = await appWith({ WELCOME_ACCESS: "anyone", ...signIn }, name);
        const open = { external: true, ipSecurityRestrictions: [] };
        expect(at(properties, "configuration.ingress")).toMatchObject(
          name === "welcome" ? open : (ingress(name) ?? {}),
        );
      },
    );
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

    /** Azure accepts an inactive revision: https://github.com/microsoft/azure-container-apps/issues/1345 */
    const ifActive = (name: string) =>
      expect.stringMatching(
        new RegExp(
          `^\\[if\\(reference\\('[^']*/containerApps/${name}/revisions/${name}--0000001', '[\\d-]+'\\)\\.active, .*, fail\\(`,
        ),
      );

    test.for(apps)(
      "%s with LIVE keeps the traffic on that revision if it is active, and labels the new one",
      async (name) => {
        const { properties } = await appWith({ LIVE: `${name}--0000001` }, name);
        expect(at(properties, "configuration")).toMatchObject({
          activeRevisionsMode: "Multiple",
          ingress: {
            traffic: [
              { revisionName: ifActive(name), label: "blue", weight: 100 },
              { latestRevision: true, label: "green", weight: 0 },
            ],
          },
        });
      },
    );

    test.for(apps)("%s with CANDIDATE_WEIGHT sends that percentage to the new revision", async (name) => {
      const { properties } = await appWith({ LIVE: `${name}--0000001`, CANDIDATE_WEIGHT: "30" }, name);
      expect(at(properties, "configuration.ingress.traffic")).toEqual([
        { revisionName: ifActive(name), label: "blue", weight: 70 },
        { latestRevision: true, label: "green", weight: 30 },
      ]);
    });

    test.for(apps)(
      "%s rejects a LIVE that is the revision of no app, instead of releasing to everyone",
      async (name) => {
        for (const LIVE of ["0000001", "v1", "wellcome--0000001"]) {
          await expect(appWith({ LIVE }, name)).rejects.toThrow(`candidate.live ${LIVE} is not a revision of ${name}.`);
        }
      },
    );

    test("an empty variable, which is how azd unsets one, counts as not set", async () => {
      const domain = ["WELCOME_DOMAIN", "WELCOME_DOMAIN_VALIDATION", "WELCOME_DOMAIN_CERTIFICATE"];
      const access = ["WELCOME_ACCESS", "WELCOME_SIGN_IN_CLIENT_ID"];
      const names = ["LIVE", "CANDIDATE_WEIGHT", "WELCOME", ...access, ...domain];
      const empty = Object.fromEntries(names.map((name) => [name, ""]));
      expect((await appWith(empty, "welcome")).properties).toEqual(app("welcome"));
      const { properties } = await appWith({ ...empty, LIVE: "welcome--0000001" }, "welcome");
      expect(at(properties, "configuration.ingress.traffic.1.weight")).toBe(0);
    });

    test("LIVE with a revision of another app leaves an app as it is", async () => {
      const { properties } = await appWith({ LIVE: "welcome--0000001" }, "state-api");
      expect(properties).toEqual(app("state-api"));
    });
  });

  describe("demosecret", () => {
    test("welcome reads it from the vault with its identity, and finds it as the file SECRET_FILE", () => {
      expect(at(app("welcome"), "configuration.secrets")).toEqual([
        {
          name: "demosecret",
          // the suffix starts with a dot: .vault.azure.net
          keyVaultUrl: `[format('https://{0}{1}/secrets/demosecret', '${environment.AZURE_KEY_VAULT_NAME}', environment().suffixes.keyvaultDns)]`,
          identity: identity("id-welcome"),
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

  test.for([
    ["state-api", "id-state-api", "All"], // the sidecar, too
    ["group-lister", "id-group-lister", "Main"],
    ["welcome", "id-welcome", "None"],
    ["blue-green", "id-welcome", "None"], // with sign-in
  ] as const)(
    "containers of %s that can use its identity %s: %s; no container can use id-pull",
    ([plan, name, lifecycle]) => {
      expect(at(app(plan), "configuration.identitySettings")).toEqual([
        { identity: identity(name), lifecycle },
        { identity: identity("id-pull"), lifecycle: "None" },
      ]);
    },
  );

  describe("a domain of your own", () => {
    const certificateType = "Microsoft.App/managedEnvironments/managedCertificates";

    const message =
      "WELCOME_DOMAIN_CERTIFICATE is missing. Set it to requested to add the domain, or to bound to serve it with the certificate.";
    const planWith = (certificate: string) =>
      planIn(
        path ?? "",
        {
          ...environment,
          ...signIn,
          WELCOME_ACCESS: "anyone",
          WELCOME_DOMAIN: "welcome.example.com",
          WELCOME_DOMAIN_CERTIFICATE: certificate,
        },
        "infra/bicep/parameters/welcome.bicepparam",
      );
    const certificatesIn = (resources: readonly Resource[]) =>
      resources.filter((resource) => resource.type === certificateType);
    const onlyDomain = (resources: readonly Resource[]) => {
      const [domain, ...others] = listAt(resources[0], "properties.configuration.ingress.customDomains");
      expect(others).toEqual([]);
      expect(field(domain, "name")).toMatch(/\.publicNetworkAccess, 'Disabled'\), fail\(/);
      return domain;
    };

    test("WELCOME_DOMAIN adds a subdomain to welcome, and then requests a certificate of Azure", async () => {
      const { resources } = await planWith("requested");
      expect(onlyDomain(resources)).toEqual({ name: expect.any(String), bindingType: "Disabled" });
      expect(certificatesIn(resources)).toMatchObject([
        {
          name: "cae-dapr-samples/welcome-example-com",
          properties: { subjectName: "welcome.example.com", domainControlValidation: "CNAME" },
        },
      ]);
      const bicep = startBicep(path ?? "");
      const { contents } = await bicep.compile("infra/bicep/modules/container-app.bicep");
      bicep.close();
      expect(at(JSON.parse(contents), "resources.certificate.dependsOn")).toEqual(["app"]);
    });

    test("WELCOME_DOMAIN_CERTIFICATE=bound binds the domain to the certificate that was requested", async () => {
      const [requested] = certificatesIn((await planWith("requested")).resources);
      const { resources } = await planWith("bound");
      expect(onlyDomain(resources)).toEqual({
        name: expect.any(String),
        bindingType: "SniEnabled",
        certificateId: requested?.id ?? expect.fail("no certificate was requested"),
      });
      expect(certificatesIn(resources)).toEqual([]);
    });

    test("WELCOME_URL is the address that Azure gives the app, and the domain once it is bound", async () => {
      const bicep = startBicep(path ?? "");
      const { contents } = await bicep.compile("infra/bicep/modules/container-app.bicep");
      bicep.close();
      expect(at(JSON.parse(contents), "outputs.url.value")).toMatch(
        /^\[format\('https:\/\/\{0\}', if\(equals\(tryGet\(parameters\('domain'\), 'certificate'\), 'bound'\), parameters\('domain'\)\.name, reference\('app'\)\.configuration\.ingress\.fqdn\)\)\]$/,
      );
    });

    test("WELCOME_DOMAIN without WELCOME_DOMAIN_CERTIFICATE is rejected, so that a bound domain keeps its certificate", async () => {
      const domain = { ...signIn, WELCOME_ACCESS: "anyone", WELCOME_DOMAIN: "welcome.example.com" };
      for (const file of ["welcome", "examples/welcome-sign-in"]) {
        const errors = await errorsOf({ ...domain, WELCOME_DOMAIN_CERTIFICATE: "" }, file);
        expect(errors).toEqual([expect.stringContaining(message)]);
      }
    });

    test("examples/welcome-sign-in.bicepparam validates an apex domain by HTTP", () => {
      expect(plans.find("welcome-sign-in", certificateType).properties).toEqual({
        subjectName: "example.com",
        domainControlValidation: "HTTP",
      });
    });

    test.for(apps)("%s has no domain without WELCOME_DOMAIN", (name) => {
      expect(at(ingress(name), "customDomains")).toEqual([]);
    });

    test("the outputs of welcome are its URL and the values of its DNS records", () => {
      const { outputs } = plans.of("welcome");
      expect(Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, shorten(value)]))).toEqual({
        WELCOME_URL: "welcomeApp.url",
        WELCOME_CNAME: "welcomeApp.hostName",
        WELCOME_A: "welcomeApp.address",
        WELCOME_TXT: "welcomeApp.verificationId",
      });
    });
  });

  test.for([
    ["state-api", "STATE_API", "stateApi"],
    ["group-lister", "GROUP_LISTER", "groupLister"],
  ] as const)("the output of %s is its URL", ([name, prefix, module]) => {
    const { outputs } = plans.of(name);
    expect(Object.fromEntries(Object.entries(outputs).map(([output, value]) => [output, shorten(value)]))).toEqual({
      [`${prefix}_URL`]: `${module}.url`,
    });
  });

  describe("sign-in", () => {
    const authority = "format('https://{0}', split(environment().authentication.loginEndpoint, '/')[2])";
    const clientId = "44444444-4444-4444-4444-444444444444"; // of plans/blue-green.bicepparam
    const auth = () => plans.find("blue-green", authType);
    const variablesOf = (resource: object) =>
      Object.fromEntries(
        listAt(resource, "template.containers.0.env").map((variable) => [
          textAt(variable, "name"),
          textAt(variable, "value"),
        ]),
      );

    test("the platform answers 401 without a token of the tenant for the client id, and needs no client secret", () => {
      expect(auth().name).toBe("welcome/current");
      expect(auth().properties).toEqual({
        platform: { enabled: true },
        globalValidation: { unauthenticatedClientAction: "Return401", excludedPaths: expect.any(Array) },
        identityProviders: {
          azureActiveDirectory: {
            enabled: true,
            registration: { clientId, openIdIssuer: `[format('{0}/{1}/v2.0', ${authority}, '${tenant}')]` },
            validation: { allowedAudiences: [clientId] },
          },
        },
        login: { tokenStore: { enabled: false } },
      });
      expect(listAt(app("blue-green"), "configuration.secrets").map((secret) => field(secret, "name"))).toEqual([
        "demosecret",
      ]);
    });

    test("without sign-in, the platform's check is declared and off, so that a deployment switches it off", () => {
      expect(plans.find("welcome", authType)).toMatchObject({
        name: "welcome/current",
        properties: { platform: { enabled: false }, identityProviders: {} },
      });
      for (const name of ["state-api", "group-lister"]) {
        expect(plans.of(name).resources.map((resource) => resource.type)).toEqual([type]);
      }
    });

    test("welcome checks the same tokens as the platform", () => {
      expect(variablesOf(app("blue-green"))).toEqual({
        WELCOME: "Hello from v2!",
        SIGN_IN_CLIENT_ID: clientId,
        SIGN_IN_TENANT_ID: tenant,
        SIGN_IN_AUTHORITY: `[${authority}]`,
      });
    });

    test("WELCOME_SIGN_IN_CLIENT_ID sets the client id, with each kind of access", async () => {
      for (const access of [{}, { MY_ADDRESS: "" }, { WELCOME_ACCESS: "anyone" }]) {
        const env = { ...environment, ...signIn, ...access };
        const { resources } = await planIn(path ?? "", env, "infra/bicep/parameters/welcome.bicepparam");
        const checked = resources.find((resource) => resource.type === authType);
        expect(at(checked, "properties.identityProviders.azureActiveDirectory.registration.clientId")).toBe(
          signIn.WELCOME_SIGN_IN_CLIENT_ID,
        );
        const [welcome] = resources.filter((resource) => resource.type === type);
        expect(variablesOf(welcome?.properties ?? {})).toMatchObject({
          SIGN_IN_CLIENT_ID: signIn.WELCOME_SIGN_IN_CLIENT_ID,
        });
        expect(variablesOf(welcome?.properties ?? {})).not.toHaveProperty("DIRECT_CALLS");
      }
    });

    test.for([
      ["state-api", environment.MY_ADDRESS, "", undefined],
      ["state-api", environment.MY_ADDRESS, "anywhere", "anywhere"],
      ["state-api", "", "", undefined],
      ["group-lister", environment.MY_ADDRESS, "", undefined],
      ["group-lister", environment.MY_ADDRESS, "anywhere", "anywhere"],
      ["group-lister", "", "", undefined],
      ["welcome", environment.MY_ADDRESS, "", "anywhere"],
      ["welcome", "", "", "anywhere"],
    ] as const)(
      "without sign-in, %s deployed with MY_ADDRESS=%s and DIRECT_CALLS=%s has DIRECT_CALLS=%s",
      async ([name, MY_ADDRESS, DIRECT_CALLS, value]) => {
        const { properties } = await appWith({ MY_ADDRESS, DIRECT_CALLS }, name);
        expect(variablesOf(properties).DIRECT_CALLS).toBe(value);
      },
    );
  });
});
