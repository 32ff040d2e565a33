// What Azure would be asked for, resource by resource, with each parameter file: the plans of the real compiler.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import {
  type Bicep,
  environment,
  findBicepOrSkip,
  type Plan,
  startBicep,
  subscription,
  tenant,
} from "../support/bicep.ts";
import { root } from "../support/processes.ts";

const path = await findBicepOrSkip();

/** The roles that are given, by the last part of their ids. */
const roles: Record<string, string> = {
  "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
  "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
  "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
  "00000000-0000-0000-0000-000000000002": "Cosmos DB Built-in Data Contributor",
  "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
  "b12aa53e-6015-4669-85d0-8515ebb3ae7f": "Private DNS Zone Contributor",
  "f1a07417-d97a-45cb-824c-7a7467783830": "Managed Identity Operator",
  "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b": "Azure Kubernetes Service RBAC Cluster Admin",
};

describe.skipIf(!path)("the plan", { timeout: 120_000 }, () => {
  const plans = new Map<string, Plan>();
  let bicep: Bicep;

  beforeAll(async () => {
    bicep = startBicep(path ?? "");
    for (const name of ["containerapps", "containerapps-keyed", "aks", "aks-private-custom-dns"]) {
      plans.set(name, await bicep.plan(`infra/bicep/parameters/${name}.bicepparam`));
    }
    for (const name of ["blue-green", "aks-dns-system", "aks-dns-none"]) {
      plans.set(name, await bicep.plan(`test/infra/plans/${name}.bicepparam`));
    }
  }, 120_000);
  afterAll(() => bicep.close());

  const all = () => [...plans.values()].flatMap(({ resources }) => resources);
  const planOf = (name: string) => plans.get(name) ?? expect.fail(`no plan of ${name}`);
  /** The one resource of a type, or the one of that name. */
  function find(plan: string, type: string, name?: string) {
    const found = planOf(plan).resources.filter((item) => item.type === type && (!name || item.name === name));
    expect(found.map(({ id }) => id)).toHaveLength(1);
    return Object(found[0]);
  }
  /** Without what is the same everywhere, and without the random part of names that have to be unique in Azure. */
  const short = (id: string) =>
    id
      .replace(/^\/subscriptions\/[^/]+(\/resourceGroups\/[^/]+)?/, "")
      .replace("/providers/", "")
      .replace(/(cr|kv-|cosmos-)[a-z0-9]{13}/, "$1…")
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "…")
      .replace(/^\[subscriptionResourceId\(.*/, "Microsoft.Authorization/roleAssignments/… of the subscription");
  const listOf = (plan: string) =>
    planOf(plan)
      .resources.map(({ id }) => short(id))
      .filter((id) => !id.includes("roleAssignments") && !id.includes("sqlRoleAssignments"))
      .sort();

  const shared = [
    "", // the resource group
    "Microsoft.ContainerRegistry/registries/cr…",
    "Microsoft.DocumentDB/databaseAccounts/cosmos-…",
    "Microsoft.DocumentDB/databaseAccounts/cosmos-…/sqlDatabases/dapr-db",
    "Microsoft.DocumentDB/databaseAccounts/cosmos-…/sqlDatabases/dapr-db/containers/statestore",
    "Microsoft.Insights/components/appi-dapr-samples",
    "Microsoft.KeyVault/vaults/kv-…",
    "Microsoft.KeyVault/vaults/kv-…/secrets/demosecret",
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-group-lister",
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-state-api",
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-welcome",
    "Microsoft.OperationalInsights/workspaces/log-dapr-samples",
  ];
  const containerApps = [
    "Microsoft.App/containerApps/group-lister",
    "Microsoft.App/containerApps/state-api",
    "Microsoft.App/containerApps/welcome",
    "Microsoft.App/managedEnvironments/cae-dapr-samples",
    "Microsoft.App/managedEnvironments/cae-dapr-samples/daprComponents/statestore",
    "Microsoft.App/managedEnvironments/cae-dapr-samples/daprComponents/statestore/resiliencyPolicies/statestore",
    "Microsoft.App/managedEnvironments/cae-dapr-samples/providers/Microsoft.Insights/diagnosticSettings/logs",
  ];
  const cluster = "Microsoft.ContainerService/managedClusters/aks-dapr-samples";
  const aks = [
    "Microsoft.Authorization/policyAssignments/no-privileged-containers",
    cluster,
    `${cluster}/providers/Microsoft.Insights/diagnosticSettings/logs`,
    `${cluster}/providers/Microsoft.KubernetesConfiguration/extensions/dapr`,
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-cluster",
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-group-lister/federatedIdentityCredentials/aks-dapr-samples",
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-kubelet",
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-state-api/federatedIdentityCredentials/aks-dapr-samples",
    "Microsoft.ManagedIdentity/userAssignedIdentities/id-welcome/federatedIdentityCredentials/aks-dapr-samples",
    "Microsoft.Network/virtualNetworks/vnet-dapr-samples",
  ];
  const zone = "Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io";

  test.for([
    ["containerapps", containerApps],
    ["containerapps-keyed", containerApps],
    ["aks", aks],
    ["aks-private-custom-dns", [...aks, zone, `${zone}/virtualNetworkLinks/vnet-dapr-samples`]],
  ] as const)("of %s has these resources and no others", ([plan, own]) => {
    expect(listOf(plan)).toEqual([...shared, ...own].sort());
  });

  /** With another environment, so by another compiler. */
  async function planIn(env: Record<string, string>, file: string): Promise<Plan> {
    const other = startBicep(path ?? "", { env });
    try {
      return await other.plan(file);
    } finally {
      other.close();
    }
  }

  test("without images has everything but the apps", async () => {
    const { AZURE_CONTAINER_REGISTRY_ENDPOINT: _, ...env } = environment;
    const { resources } = await planIn(env, "infra/bicep/parameters/containerapps.bicepparam");
    const before = resources.map(({ id }) => id);
    const after = planOf("containerapps").resources.map(({ id }) => id);
    expect(before).toEqual(after.filter((id) => !id.includes("/containerApps/")));
  });

  test("with a new REVISION and the LIVE one has the new one of welcome at its label, without traffic", async () => {
    const env = { ...environment, REVISION: "v2", LIVE: "v1", WELCOME: "Hello from v2!" };
    const { resources } = await planIn(env, "infra/bicep/parameters/containerapps.bicepparam");
    const { properties } = Object(resources.find(({ name }) => name === "welcome"));
    expect(properties.configuration.ingress.traffic).toEqual([
      { revisionName: "welcome--v1", label: "blue", weight: 100 },
      { revisionName: "welcome--v2", label: "green", weight: 0 },
    ]);
    expect(properties.template).toMatchObject({
      revisionSuffix: "v2",
      containers: [{ env: [{ name: "WELCOME", value: "Hello from v2!" }] }],
    });
  });

  describe("of who may do what", () => {
    const pulls = ["id-group-lister", "id-state-api", "id-welcome"].map(
      (identity) => `${identity} AcrPull Microsoft.ContainerRegistry/registries/cr…`,
    );
    const data =
      "id-state-api Cosmos DB Built-in Data Contributor Microsoft.DocumentDB/databaseAccounts/cosmos-…/dbs/dapr-db/colls/statestore";
    const secret = "id-welcome Key Vault Secrets User Microsoft.KeyVault/vaults/kv-…/secrets/demosecret";
    const nodes = [
      "id-cluster Managed Identity Operator Microsoft.ManagedIdentity/userAssignedIdentities/id-kubelet",
      "id-cluster Network Contributor Microsoft.Network/virtualNetworks/vnet-dapr-samples",
      "id-kubelet AcrPull Microsoft.ContainerRegistry/registries/cr…",
      `${environment.AZURE_PRINCIPAL_ID} Azure Kubernetes Service RBAC Cluster Admin ${cluster}`,
    ];
    test.for([
      ["containerapps", [...pulls, data, secret, "id-group-lister Reader the subscription"]],
      ["containerapps-keyed", [...pulls, secret, "id-group-lister Reader the resource group"]],
      ["aks", [data, secret, ...nodes, "id-group-lister Reader the subscription"]],
      [
        "aks-private-custom-dns",
        [
          ...[data, secret, ...nodes, "id-group-lister Reader the resource group"],
          `id-cluster Private DNS Zone Contributor ${zone}`,
        ],
      ],
    ] as const)("%s gives these roles and no others", ([plan, expected]) => {
      const given = planOf(plan).resources.flatMap(({ id, type, properties }) => {
        if (!type.endsWith("oleAssignments")) return [];
        const {
          principalId,
          roleDefinitionId,
          scope = id.replace(/\/providers\/[^/]+\/roleAssignments\/.*$/, ""),
        } = Object(properties);
        const [, identity = principalId] = /userAssignedIdentities\/([\w-]+)|\('(\w+)Identity-/.exec(principalId) ?? [];
        const of = id.startsWith("[subscriptionResourceId(")
          ? "the subscription"
          : short(scope) || (scope.includes("/resourceGroups/") ? "the resource group" : "the subscription");
        const who = principalId.includes("groupListerIdentity-") ? "id-group-lister" : identity;
        return [`${who} ${roles[roleDefinitionId.split("/").at(-1)]} ${of}`];
      });
      expect(given.sort()).toEqual([...expected].sort());
    });

    test("whoever runs anything is a user-assigned identity", () => {
      const identities = all().flatMap((resource) => ("identity" in resource ? [Object(resource.identity)] : []));
      expect(identities).not.toHaveLength(0);
      for (const { type, userAssignedIdentities } of identities) {
        expect(type).toBe("UserAssigned");
        expect(Object.keys(userAssignedIdentities)).toHaveLength(1);
      }
    });
  });

  describe("of keys", () => {
    test("has none but the one that containerapps-keyed asks for, as a secret of the component", () => {
      for (const [name, { text }] of plans) {
        const keys = text.match(/list[A-Z]\w*\([^)]*\)|[a-z]+Key\b(?=")/gi) ?? [];
        expect([name, keys.filter((key) => !/^(partitionKey|publicKey)/.test(key))]).toEqual([
          name,
          name === "containerapps-keyed" ? [expect.stringMatching(/^listKeys\('.*databaseAccounts/), "masterKey"] : [],
        ]);
      }
      const { secrets, metadata } = find(
        "containerapps-keyed",
        "Microsoft.App/managedEnvironments/daprComponents",
      ).properties;
      expect(secrets).toEqual([{ name: "cosmos-key", value: expect.stringContaining("listKeys(") }]);
      expect(metadata).toContainEqual({ name: "masterKey", secretRef: "cosmos-key" });
    });

    test("switches them off where Cosmos DB, the registry, the cluster and the vault would have them", () => {
      for (const plan of plans.keys()) {
        const account = find(plan, "Microsoft.DocumentDB/databaseAccounts");
        expect(account.properties.disableLocalAuth).toBe(plan !== "containerapps-keyed");
        expect(find(plan, "Microsoft.ContainerRegistry/registries").properties.adminUserEnabled).toBe(false);
        expect(find(plan, "Microsoft.KeyVault/vaults").properties).toMatchObject({
          tenantId: tenant,
          enableRbacAuthorization: true,
          enablePurgeProtection: true,
        });
        if (plan.startsWith("aks")) {
          expect(find(plan, "Microsoft.ContainerService/managedClusters").properties.disableLocalAccounts).toBe(true);
        }
      }
    });

    test("shows no secret, neither in an output nor anywhere else", () => {
      for (const { text, outputs } of plans.values()) {
        expect(text).not.toContain(environment.DEMO_SECRET);
        expect(JSON.stringify(outputs)).not.toMatch(/listKeys|connectionString|demoSecret/i);
      }
      const secret = find("aks", "Microsoft.KeyVault/vaults/secrets");
      expect(secret.properties.value).toBe("[parameters('demoSecret')]");
    });
  });

  test("of outputs has the names that the manifests, the components and azd read", () => {
    for (const { outputs } of plans.values()) {
      expect(Object.keys(outputs).sort()).toEqual([
        "AZURE_AKS_CLUSTER_NAME",
        "AZURE_CONTAINER_REGISTRY_ENDPOINT",
        "AZURE_KEY_VAULT_NAME",
        "AZURE_RESOURCE_GROUP",
        "AZURE_SUBSCRIPTION_ID",
        "AZURE_TENANT_ID",
        "COSMOS_URL",
        "GROUP_LISTER_CLIENT_ID",
        "KEY_VAULT_ADDON_CLIENT_ID",
        "STATE_API_CLIENT_ID",
        "WELCOME_CLIENT_ID",
        "WELCOME_URL",
      ]);
      expect(outputs).toMatchObject({ AZURE_SUBSCRIPTION_ID: subscription, AZURE_TENANT_ID: tenant });
    }
    expect(planOf("aks").outputs).toMatchObject({ AZURE_AKS_CLUSTER_NAME: "aks-dapr-samples", WELCOME_URL: "" });
    expect(planOf("containerapps").outputs.AZURE_AKS_CLUSTER_NAME).toBe("");
    const read = parse(readFileSync(join(root, "infra/kubernetes/overlays/aks/settings.yaml"), "utf8")).data;
    expect(Object.keys(planOf("aks").outputs)).toEqual(expect.arrayContaining(Object.keys(read)));
  });

  describe("of Cosmos DB", () => {
    test("has Session consistency, TLS 1.2, and the container that Dapr wants", () => {
      for (const plan of plans.keys()) {
        expect(find(plan, "Microsoft.DocumentDB/databaseAccounts").properties).toMatchObject({
          consistencyPolicy: { defaultConsistencyLevel: "Session" },
          minimalTlsVersion: "Tls12",
        });
        expect(find(plan, "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers").properties).toMatchObject({
          resource: { id: "statestore", partitionKey: { kind: "Hash", paths: ["/partitionKey"] }, defaultTtl: -1 },
        });
      }
    });

    test.for([
      ["containerapps", [{ name: "EnableServerless" }], {}],
      ["containerapps-keyed", [], { throughput: 400 }],
      ["blue-green", [], { autoscaleSettings: { maxThroughput: 1000 } }],
    ] as const)("of %s is paid for as its parameter says", ([plan, capabilities, options]) => {
      expect(find(plan, "Microsoft.DocumentDB/databaseAccounts").properties.capabilities).toEqual(capabilities);
      const container = find(plan, "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers");
      expect(container.properties.options).toEqual(options);
    });
  });

  describe("of Container Apps", () => {
    const app = (plan: string, name: string) => find(plan, "Microsoft.App/containerApps", name).properties;
    const apps = ["state-api", "group-lister", "welcome"];
    const everywhere = ["containerapps", "containerapps-keyed", "blue-green"].flatMap((plan) =>
      apps.map((name) => [plan, name] as const),
    );

    test("has an environment that logs without a key and traces through OpenTelemetry, sidecars included", () => {
      const { id, properties } = find("containerapps", "Microsoft.App/managedEnvironments");
      expect(properties).toMatchObject({
        appLogsConfiguration: { destination: "azure-monitor" },
        openTelemetryConfiguration: {
          tracesConfiguration: { destinations: ["appInsights"], includeDapr: true },
          logsConfiguration: { destinations: ["appInsights"] },
        },
        vnetConfiguration: null,
        publicNetworkAccess: "Enabled",
      });
      const workspace = find("containerapps", "Microsoft.OperationalInsights/workspaces");
      expect(find("containerapps", "Microsoft.Insights/diagnosticSettings")).toMatchObject({
        id: expect.stringContaining(id),
        properties: { workspaceId: workspace.id, logs: [{ categoryGroup: "allLogs", enabled: true }] },
      });
    });

    test("has a component with the identity of state-api, for state-api only, that gives up before state-api does", () => {
      const { properties } = find("containerapps", "Microsoft.App/managedEnvironments/daprComponents");
      expect(properties).toMatchObject({ secrets: [], scopes: ["state-api"] });
      expect(properties.metadata).toContainEqual({
        name: "azureClientId",
        value: expect.stringMatching(/userAssignedIdentities\/id-state-api', '[\d-]+'\)\.clientId\]$/),
      });
      expect(
        find("containerapps", "Microsoft.App/managedEnvironments/daprComponents/resiliencyPolicies").properties,
      ).toEqual({
        outboundPolicy: {
          timeoutPolicy: { responseTimeoutInSeconds: 1 },
          circuitBreakerPolicy: { consecutiveErrors: 20, timeoutInSeconds: 2 },
        },
      });
    });

    test("makes state-api after its component, for a sidecar has the components that are there when it starts", async () => {
      const { contents } = await bicep.compile("infra/bicep/modules/container-apps.bicep");
      const { stateApi, stateStore, environment } = JSON.parse(contents).resources;
      expect(stateApi.dependsOn).toEqual(["stateStore"]);
      expect(stateStore.dependsOn).toEqual(["environment"]);
      expect(environment.dependsOn).toEqual(["network"]);
    });

    test.for(everywhere)(
      "%s: %s has a sidecar with limits, probes, resources, time to end, and TLS only",
      ([plan, name]) => {
        const { configuration, template } = app(plan, name);
        expect(configuration.dapr).toMatchObject({
          ...{ enabled: true, appId: name, appPort: 8080, appProtocol: "http" },
          ...{ httpMaxRequestSize: 4, httpReadBufferSize: 16, maxConcurrency: 256 },
        });
        expect(configuration.ingress).toMatchObject({ targetPort: 8080, transport: "http", allowInsecure: false });
        expect(template.containers).toEqual([
          expect.objectContaining({ name, resources: { cpu: 0.25, memory: "0.5Gi" } }),
        ]);
        const probes = template.containers[0].probes.map(
          ({ type, httpGet: { path, port } }: { type: string; httpGet: { path: string; port: number } }) =>
            `${type} ${port} ${path}`,
        );
        expect(probes).toEqual(["Startup 8080 /healthz", "Liveness 8080 /healthz", "Readiness 8080 /readyz"]);
        expect(template.terminationGracePeriodSeconds).toBe(30);
      },
    );

    test.for(everywhere)("%s: %s pulls its image as the identity that it runs as", ([plan, name]) => {
      const { identity } = find(plan, "Microsoft.App/containerApps", name);
      const [id] = Object.keys(identity.userAssignedIdentities);
      expect(id).toMatch(new RegExp(`/id-${name}$`));
      const server = expect.stringMatching(/^\[reference\('.*registries.*\)\.loginServer\]$/);
      expect(app(plan, name).configuration.registries).toEqual([{ server, identity: id }]);
    });

    test.for([
      ["containerapps", 1, 3, "50"],
      ["containerapps-keyed", 0, 1, "50"],
      ["blue-green", 0, 5, "20"],
    ] as const)(
      "of %s scales by requests, to zero if asked",
      ([plan, minReplicas, maxReplicas, concurrentRequests]) => {
        for (const name of apps) {
          expect(app(plan, name).template.scale).toEqual({
            minReplicas,
            maxReplicas,
            rules: [{ name: "http", http: { metadata: { concurrentRequests } } }],
          });
        }
      },
    );

    test("lets nobody outside reach state-api and group-lister, or an address, or anyone, as asked", () => {
      const restricted = [{ name: "allowed-0", action: "Allow", ipAddressRange: `${environment.MY_ADDRESS}/32` }];
      for (const name of ["state-api", "group-lister"]) {
        const ingress = (plan: string) => app(plan, name).configuration.ingress;
        expect(ingress("containerapps-keyed")).toMatchObject({ external: false, ipSecurityRestrictions: [] });
        expect(ingress("containerapps")).toMatchObject({ external: true, ipSecurityRestrictions: restricted });
        expect(ingress("blue-green")).toMatchObject({ external: true, ipSecurityRestrictions: [] });
      }
      for (const plan of ["containerapps", "containerapps-keyed", "blue-green"]) {
        expect(app(plan, "welcome").configuration.ingress).toMatchObject({
          external: true,
          ipSecurityRestrictions: [],
        });
      }
    });

    test("has one revision at a time, or labelled ones whose weights add up to 100, the new one among them", () => {
      expect(app("containerapps", "state-api").configuration).toMatchObject({
        activeRevisionsMode: "Single",
        ingress: { traffic: [{ latestRevision: true, weight: 100 }] },
      });
      const { configuration, template } = app("blue-green", "welcome");
      expect(configuration).toMatchObject({
        activeRevisionsMode: "Multiple",
        ingress: {
          traffic: [
            { revisionName: "welcome--v1", label: "blue", weight: 90 },
            { revisionName: "welcome--v2", label: "green", weight: 10 },
          ],
        },
      });
      expect(template.revisionSuffix).toBe("v2");
      expect(template.containers[0].env).toEqual([{ name: "WELCOME", value: "Hello from v2!" }]);
      for (const [plan, name] of everywhere) {
        const weights = app(plan, name).configuration.ingress.traffic.map(({ weight }: { weight: number }) => weight);
        expect(weights.reduce((sum: number, weight: number) => sum + weight)).toBe(100);
      }
    });

    test("signs callers of welcome in without a client secret: its identity vouches for it", () => {
      const auth = find("blue-green", "Microsoft.App/containerApps/authConfigs");
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
      expect(app("blue-green", "welcome").configuration.secrets).toEqual([
        {
          name: "override-use-mi-fic-assertion-client-id",
          value: expect.stringMatching(/userAssignedIdentities\/id-welcome', '[\d-]+'\)\.clientId\]$/),
        },
      ]);
      for (const name of ["state-api", "group-lister"])
        expect(app("blue-green", name).configuration.secrets).toEqual([]);
    });

    test("is in a network of its own, and reached and found from there only, if asked", () => {
      const subnet = find("blue-green", "Microsoft.Network/virtualNetworks/subnets");
      expect(subnet.properties).toMatchObject({
        addressPrefix: "10.20.0.0/24",
        delegations: [{ properties: { serviceName: "Microsoft.App/environments" } }],
      });
      expect(find("blue-green", "Microsoft.App/managedEnvironments").properties).toMatchObject({
        vnetConfiguration: { infrastructureSubnetId: subnet.id, internal: true },
        publicNetworkAccess: "Disabled",
      });
      const network = find("blue-green", "Microsoft.Network/virtualNetworks");
      const zone = find("blue-green", "Microsoft.Network/privateDnsZones");
      expect(zone.name).toMatch(/outputs\.domain\.value\]$/);
      expect(find("blue-green", "Microsoft.Network/privateDnsZones/virtualNetworkLinks").properties).toEqual({
        registrationEnabled: false,
        virtualNetwork: { id: network.id },
      });
      expect(find("blue-green", "Microsoft.Network/privateDnsZones/A")).toMatchObject({
        name: expect.stringMatching(/domain\.value, '\*'\)\]$/),
        properties: { aRecords: [{ ipv4Address: expect.stringMatching(/outputs\.address\.value\]$/) }] },
      });
    });
  });

  describe("of AKS", () => {
    const properties = (plan: string) => find(plan, "Microsoft.ContainerService/managedClusters").properties;

    test("has workload identity, Entra RBAC, Key Vault with rotation, Azure Policy, and upgrades itself", () => {
      expect(properties("aks")).toMatchObject({
        oidcIssuerProfile: { enabled: true },
        securityProfile: { workloadIdentity: { enabled: true } },
        enableRBAC: true,
        disableLocalAccounts: true,
        aadProfile: { managed: true, enableAzureRBAC: true, tenantID: tenant },
        addonProfiles: {
          azureKeyvaultSecretsProvider: {
            enabled: true,
            config: { enableSecretRotation: "true", rotationPollInterval: "2m" },
          },
          azurepolicy: { enabled: true },
        },
        autoUpgradeProfile: { upgradeChannel: "stable", nodeOSUpgradeChannel: "NodeImage" },
      });
    });

    test("has Azure CNI overlay in a subnet of its own, and the service addresses of S8", () => {
      expect(properties("aks").networkProfile).toMatchObject({
        networkPlugin: "azure",
        networkPluginMode: "overlay",
        serviceCidr: "10.3.0.0/24",
        dnsServiceIP: "10.3.0.10",
      });
      const network = find("aks", "Microsoft.Network/virtualNetworks");
      for (const pool of properties("aks").agentPoolProfiles) {
        expect(pool.vnetSubnetID).toBe(`${network.id}/subnets/${network.properties.subnets[0].name}`);
      }
    });

    test("has a pool for the system, which others keep off, and one for users, over all zones", () => {
      expect(properties("aks").agentPoolProfiles).toMatchObject([
        { mode: "System", nodeTaints: ["CriticalAddonsOnly=true:NoSchedule"], availabilityZones: ["1", "2", "3"] },
        { mode: "User", availabilityZones: ["1", "2", "3"] },
      ]);
    });

    test("has Dapr, whose sidecars keep no capabilities", () => {
      expect(find("aks", "Microsoft.KubernetesConfiguration/extensions").properties).toMatchObject({
        extensionType: "Microsoft.Dapr",
        scope: { cluster: { releaseNamespace: "dapr-system" } },
        configurationSettings: { "dapr_sidecar_injector.sidecarDropALLCapabilities": "true" },
      });
    });

    test("trusts the service accounts of the manifests, and no others", () => {
      const { namespace } = parse(readFileSync(join(root, "infra/kubernetes/base/kustomization.yaml"), "utf8"));
      const accounts = ["state-api", "group-lister", "welcome"].flatMap((service) =>
        parseAllDocuments(readFileSync(join(root, `infra/kubernetes/base/${service}.yaml`), "utf8"))
          .map((document) => document.toJS())
          .filter(({ kind }) => kind === "ServiceAccount"),
      );
      const trusted = planOf("aks").resources.filter(({ type }) => type.endsWith("/federatedIdentityCredentials"));
      expect(trusted.map(({ name, properties }) => [name, properties])).toEqual(
        accounts.map(({ metadata: { name } }) => [
          `id-${name}/aks-dapr-samples`,
          {
            issuer: expect.stringMatching(/outputs\.issuer\.value\]$/),
            subject: `system:serviceaccount:${namespace}:${name}`,
            audiences: ["api://AzureADTokenExchange"],
          },
        ]),
      );
    });

    test.for([
      ["aks", { enablePrivateCluster: false, privateDNSZone: null }, "aks-dapr-samples", null],
      [
        "aks-dns-system",
        { enablePrivateCluster: true, privateDNSZone: "system", enablePrivateClusterPublicFQDN: false },
        "aks-aks-dns-system",
        null,
      ],
      [
        "aks-dns-none",
        { enablePrivateCluster: true, privateDNSZone: "none", enablePrivateClusterPublicFQDN: true },
        "aks-aks-dns-none",
        null,
      ],
      [
        "aks-private-custom-dns",
        {
          enablePrivateCluster: true,
          privateDNSZone: `/subscriptions/${subscription}/resourceGroups/rg-dapr-samples/providers/${zone}`,
          enablePrivateClusterPublicFQDN: false,
        },
        null,
        "aks-dapr-samples",
      ],
    ] as const)("of %s has its name where the parameter says", ([plan, access, dnsPrefix, fqdnSubdomain]) => {
      expect(properties(plan)).toMatchObject({ apiServerAccessProfile: access, dnsPrefix, fqdnSubdomain });
      const zones = planOf(plan).resources.filter(({ type }) => type === "Microsoft.Network/privateDnsZones");
      expect(zones).toHaveLength(plan === "aks-private-custom-dns" ? 1 : 0);
    });

    test("links the custom zone with the network of the nodes", () => {
      const network = find("aks-private-custom-dns", "Microsoft.Network/virtualNetworks");
      const link = find("aks-private-custom-dns", "Microsoft.Network/privateDnsZones/virtualNetworkLinks");
      expect(link.properties).toEqual({ registrationEnabled: false, virtualNetwork: { id: network.id } });
    });

    test.for([
      ["aks", "deny", []],
      ["aks-private-custom-dns", "audit", ["monitoring"]],
    ] as const)("of %s refuses or reports privileged containers", ([plan, effect, more]) => {
      expect(find(plan, "Microsoft.Authorization/policyAssignments").properties).toMatchObject({
        policyDefinitionId: "/providers/Microsoft.Authorization/policyDefinitions/95edb821-ddaf-4404-9732-666045e056b4",
        parameters: {
          effect: { value: effect },
          excludedNamespaces: { value: ["kube-system", "gatekeeper-system", "azure-arc", ...more] },
        },
      });
    });
  });
});
