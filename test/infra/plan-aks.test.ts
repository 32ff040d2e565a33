// Plans of the real compiler: the settings of the cluster, its network, its API server and its policy on AKS.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { field } from "../../services/runtime/field.ts";
import { at, listAt, objectAt, textAt } from "../support/at.ts";
import { environment, findBicepOrSkip, type Plan, startBicep, subscription, tenant } from "../support/bicep.ts";
import { exemptNamespaces, listAssignmentErrors } from "../support/built-in-policies.ts";
import { fileOf, makePlans, type Plans, planIn } from "../support/plans.ts";
import { root } from "../support/processes.ts";

const path = await findBicepOrSkip();

describe.skipIf(!path)("the plan for AKS", { timeout: 120_000 }, () => {
  let plans: Plans;

  beforeAll(async () => {
    plans = await makePlans(path ?? "", [
      "aks",
      "aks-existing-network",
      "aks-operations",
      "aks-private-custom-dns",
      "aks-private-existing-dns",
      "aks-dns-system",
      "aks-dns-none",
      "aks-policy",
      "aks-policy-labels",
    ]);
  }, 120_000);

  const clusterType = "Microsoft.ContainerService/managedClusters";
  const cluster = (plan: string) => plans.find(plan, clusterType).properties;

  /** Scopes of the assignments of a role to the control plane. */
  const scopesOf = (plan: string, role: string) =>
    plans
      .of(plan)
      .resources.filter(({ properties }) => String(field(properties, "roleDefinitionId")).endsWith(role))
      .filter(({ properties }) => textAt(properties, "principalId").includes("clusterIdentity"))
      .map(({ id }) => /^\[extensionResourceId\('([^']+)'/.exec(id)?.[1]);
  const networkContributor = "4d97b98b-1d4f-4787-a291-c67834d212e7";
  const zoneContributor = "b12aa53e-6015-4669-85d0-8515ebb3ae7f";

  describe("parameters in the environment", () => {
    let custom: Plan;
    let without: Plan;

    beforeAll(async () => {
      const { MY_ADDRESS: _, ...env } = environment;
      const file = "infra/bicep/parameters/aks.bicepparam";
      custom = await planIn(
        path ?? "",
        {
          ...env,
          AKS_DAPR_VERSION: "1.18.0",
          AKS_SYSTEM_VM_SIZE: "Standard_D8s_v6",
          AKS_USER_VM_SIZE: "Standard_D4as_v6",
          AKS_ZONES: "1,3",
          AZURE_AKS_CLUSTER_NAME: "aks-dapr-samples",
          AZURE_PRINCIPAL_TYPE: "ServicePrincipal",
          WELCOME_HOST: "welcome.example.com",
        },
        file,
      );
      without = await planIn(path ?? "", { ...env, AKS_ZONES: "none", AKS_DAPR_VERSION: "none" }, file);
    }, 120_000);

    const find = (plan: Plan, type: string) => plan.resources.find((resource) => resource.type === type)?.properties;
    const administrators = (plan: Plan) =>
      plan.resources.filter(({ properties }) =>
        String(field(properties, "roleDefinitionId")).endsWith("b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"),
      );

    test("by default Azure picks the zones, and a list of zones or none replaces its choice", () => {
      const zones = (properties: unknown) =>
        listAt(properties, "agentPoolProfiles").map((pool) => field(pool, "availabilityZones"));
      const picked = expect.stringContaining(
        "pickZones('Microsoft.Compute', 'virtualMachineScaleSets', 'westeurope', 3)",
      );
      expect(zones(cluster("aks"))).toEqual([picked, picked]);
      expect(zones(find(custom, clusterType))).toEqual([
        ["1", "3"],
        ["1", "3"],
      ]);
      expect(zones(find(without, clusterType))).toEqual([[], []]);
    });

    test("the pools have bounded sizes by default, and AKS_SYSTEM_VM_SIZE and AKS_USER_VM_SIZE replace the VM sizes", () => {
      expect(field(cluster("aks"), "agentPoolProfiles")).toMatchObject([
        { name: "system", vmSize: "Standard_D4s_v5", osDiskSizeGB: 64, minCount: 1, maxCount: 2 },
        { name: "user", vmSize: "Standard_D2s_v5", osDiskSizeGB: 64, minCount: 1, maxCount: 3 },
      ]);
      expect(field(find(custom, clusterType), "agentPoolProfiles")).toMatchObject([
        { vmSize: "Standard_D8s_v6" },
        { vmSize: "Standard_D4as_v6" },
      ]);
    });

    test("the pools start with min nodes; with AZURE_AKS_CLUSTER_NAME, the autoscaler keeps the number of nodes", () => {
      const counts = (properties: unknown) =>
        listAt(properties, "agentPoolProfiles").map((pool) => field(pool, "count"));
      expect(counts(cluster("aks"))).toEqual([1, 1]);
      expect(counts(cluster("aks-operations"))).toEqual([3, 3]);
      expect(counts(find(custom, clusterType))).toEqual([null, null]);
      for (const pool of listAt(cluster("aks"), "agentPoolProfiles"))
        expect(pool).toMatchObject({ enableAutoScaling: true });
    });

    test("MY_ADDRESS is the only address that can connect to the API server; without it, any can", () => {
      const ranges = (properties: unknown) => at(properties, "apiServerAccessProfile.authorizedIPRanges");
      expect(ranges(cluster("aks"))).toEqual([`${environment.MY_ADDRESS}/32`]);
      expect(ranges(find(custom, clusterType))).toEqual([]);
    });

    test("AZURE_PRINCIPAL_ID administers the cluster as a user, or as the type in AZURE_PRINCIPAL_TYPE", () => {
      const principalId = environment.AZURE_PRINCIPAL_ID;
      expect(administrators(plans.of("aks"))).toMatchObject([{ properties: { principalId, principalType: "User" } }]);
      expect(administrators(custom)).toMatchObject([
        { properties: { principalId, principalType: "ServicePrincipal" } },
      ]);
    });

    test("WELCOME_HOST enables the Gateway API and its class approuting-istio; without it, the plan sets neither", () => {
      expect(field(find(custom, clusterType), "ingressProfile")).toEqual({
        gatewayAPI: { installation: "Standard" },
        webAppRouting: { gatewayAPIImplementations: { appRoutingIstio: { mode: "Enabled" } } },
      });
      expect(field(cluster("aks"), "ingressProfile")).toBeNull();
    });

    test("AKS_DAPR_VERSION pins Dapr or leaves the extension out; by default, the extension upgrades itself", () => {
      const type = "Microsoft.KubernetesConfiguration/extensions";
      expect(find(custom, type)).toMatchObject({ version: "1.18.0", autoUpgradeMinorVersion: false });
      expect(find(plans.of("aks"), type)).toMatchObject({ version: null, autoUpgradeMinorVersion: true });
      expect(find(without, type)).toBeUndefined();
    });
  });

  // https://learn.microsoft.com/azure/azure-monitor/reference/supported-logs/microsoft-containerservice-managedclusters-logs
  test("the audit logs go to tables of their own instead of AzureDiagnostics", () => {
    const settings = plans
      .of("aks")
      .resources.filter(({ id }) =>
        /managedClusters\/[^/]+\/providers\/Microsoft.Insights\/diagnosticSettings/.test(id),
      );
    expect(settings).toHaveLength(1);
    expect(settings[0]?.properties).toMatchObject({
      logAnalyticsDestinationType: "Dedicated",
      logs: [
        { category: "guard", enabled: true },
        { category: "kube-audit-admin", enabled: true },
      ],
    });
  });

  test("enables workload identity, Azure RBAC, Key Vault with rotation, Azure Policy and automatic upgrades", () => {
    expect(cluster("aks")).toMatchObject({
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

  // AKS enables LocalDNS from Kubernetes 1.36, which the network policies of infra/kubernetes/base do not allow, except
  // in clusters with Cilium and network policies: https://github.com/Azure/AKS/releases/tag/2026-05-29.
  test("uses Azure CNI overlay with the network policies of Cilium, and all nodes are in one subnet", () => {
    expect(field(cluster("aks"), "networkProfile")).toMatchObject({
      networkPlugin: "azure",
      networkPluginMode: "overlay",
      networkDataplane: "cilium",
      networkPolicy: "cilium",
      serviceCidr: "10.3.0.0/24",
      dnsServiceIP: "10.3.0.10",
    });
    const network = plans.find("aks", "Microsoft.Network/virtualNetworks");
    const subnet = `${network.id}/subnets/${textAt(network.properties, "subnets.0.name")}`;
    const pools = listAt(cluster("aks"), "agentPoolProfiles");
    expect(pools.map((pool) => field(pool, "vnetSubnetID"))).toEqual([subnet, subnet]);
  });

  test("has a tainted system pool and a user pool", () => {
    expect(field(cluster("aks"), "agentPoolProfiles")).toMatchObject([
      { mode: "System", nodeTaints: ["CriticalAddonsOnly=true:NoSchedule"] },
      { mode: "User" },
    ]);
  });

  test("installs Dapr with sidecars that drop all capabilities", () => {
    expect(plans.find("aks", "Microsoft.KubernetesConfiguration/extensions").properties).toMatchObject({
      extensionType: "Microsoft.Dapr",
      scope: { cluster: { releaseNamespace: "dapr-system" } },
      configurationSettings: { "dapr_sidecar_injector.sidecarDropALLCapabilities": "true" },
    });
  });

  test("trusts exactly the service accounts of infra/kubernetes/base", () => {
    const { namespace } = parse(readFileSync(join(root, "infra/kubernetes/base/kustomization.yaml"), "utf8"));
    const accounts = ["state-api", "group-lister", "welcome"].flatMap((service) =>
      parseAllDocuments(readFileSync(join(root, `infra/kubernetes/base/${service}/${service}.yaml`), "utf8"))
        .map((document): unknown => document.toJS())
        .filter((object) => field(object, "kind") === "ServiceAccount")
        .map((object) => textAt(object, "metadata.name")),
    );
    const trusted = plans.of("aks").resources.filter(({ type }) => type.endsWith("/federatedIdentityCredentials"));
    expect(trusted.map(({ name, properties }) => [name, properties])).toEqual(
      accounts.map((name) => [
        `id-${name}/aks-dapr-samples`,
        {
          issuer: expect.stringMatching(/outputs\.issuer\.value\]$/),
          subject: `system:serviceaccount:${namespace}:${name}`,
          audiences: ["api://AzureADTokenExchange"],
        },
      ]),
    );
  });

  describe("order", () => {
    type Dependencies = Record<string, { readonly dependsOn?: readonly string[] }>;
    let resources: Dependencies;

    beforeAll(async () => {
      const bicep = startBicep(path ?? "");
      try {
        resources = JSON.parse((await bicep.compile("infra/bicep/main.bicep")).contents).resources;
      } finally {
        bicep.close();
      }
    });

    /** The modules and resources of main.bicep that must be complete before one starts. */
    function allBefore(name: string): Set<string> {
      const { dependsOn = [] } = resources[name] ?? expect.fail(`main.bicep has no resource ${name}`);
      return new Set(dependsOn.flatMap((item) => [item, ...allBefore(item)]));
    }

    test("the cluster waits for its roles and for Cosmos DB, which gives the roles time to take effect", () => {
      expect([...allBefore("aks")]).toEqual(
        expect.arrayContaining(["clusterNetworkAccess", "clusterZoneAccess", "cosmos"]),
      );
    });

    test("the administrator of the cluster gets the role on the resource group, and waits for nothing else", () => {
      expect([...allBefore("clusterAdministrator")]).toEqual(["group"]);
      const [role] = plans
        .of("aks")
        .resources.filter(({ properties }) => field(properties, "principalId") === environment.AZURE_PRINCIPAL_ID);
      expect(role?.id).toMatch(
        /^\/subscriptions\/[^/]+\/resourceGroups\/rg-dapr-samples\/providers\/Microsoft\.Authorization\/roleAssignments\/[^/]+$/,
      );
    });

    test("the roles of the cluster wait only for its identity, the network, the zone and the resource group", () => {
      const scopes = ["clusterIdentity", "clusterNetwork", "group"];
      expect([...allBefore("clusterNetworkAccess")].sort()).toEqual(scopes);
      expect([...allBefore("clusterZoneAccess")].sort()).toEqual([...scopes, "clusterZone"].sort());
    });
  });

  test("AKS creates the identity of the nodes, and that identity can pull from the registry", () => {
    expect(cluster("aks")).not.toHaveProperty("identityProfile");
    const pulls = plans
      .of("aks")
      .resources.map(({ properties }) => properties)
      .filter((item) => String(field(item, "roleDefinitionId")).endsWith("7f951dda-4ed3-4680-a7ca-43fe172d538d"));
    expect(pulls).toMatchObject([{ principalId: expect.stringMatching(/outputs\.kubeletPrincipalId\.value\]$/) }]);
  });

  describe("API server", () => {
    const zone = "privatelink.westeurope.azmk8s.io";
    const zoneId = `/subscriptions/${subscription}/resourceGroups/rg-dapr-samples/providers/Microsoft.Network/privateDnsZones/${zone}`;

    test.for([
      ["aks", { enablePrivateCluster: false, privateDNSZone: null }],
      [
        "aks-dns-system",
        { enablePrivateCluster: true, privateDNSZone: "system", enablePrivateClusterPublicFQDN: false },
      ],
      ["aks-dns-none", { enablePrivateCluster: true, privateDNSZone: "none", enablePrivateClusterPublicFQDN: true }],
      [
        "aks-private-custom-dns",
        { enablePrivateCluster: true, privateDNSZone: zoneId, enablePrivateClusterPublicFQDN: false },
      ],
    ] as const)("the API server of %s has the DNS settings that apiServer.dns selects", ([plan, access]) => {
      expect(cluster(plan)).toMatchObject({ apiServerAccessProfile: access });
      const zones = plans.of(plan).resources.filter(({ type }) => type === "Microsoft.Network/privateDnsZones");
      expect(zones).toHaveLength(plan === "aks-private-custom-dns" ? 1 : 0);
    });

    // Clusters can share a zone. AKS adds a hash to dnsPrefix but not to fqdnSubdomain.
    test("the name of every API server starts with the name of the cluster and has a hash", () => {
      for (const plan of plans.names) {
        const { name, properties } = plans.find(plan, clusterType);
        expect(properties).toMatchObject({ dnsPrefix: name });
        expect(properties).not.toHaveProperty("fqdnSubdomain");
      }
    });

    test("aks-private-custom-dns differs from aks only in its API server, its zone and the wider role for the link", () => {
      const settings = (plan: string) => ({ ...cluster(plan), apiServerAccessProfile: undefined });
      expect(settings("aks-private-custom-dns")).toEqual(settings("aks"));
      const others = (plan: string) =>
        plans
          .of(plan)
          .resources.filter(
            ({ id, type }) => type !== clusterType && !type.includes("rivateDnsZones") && !id.includes("vnet-"),
          )
          .map(({ properties, type }) => [type, properties]);
      expect(
        others("aks-private-custom-dns").filter(
          ([, properties]) => !String(field(properties, "roleDefinitionId")).endsWith(zoneContributor),
        ),
      ).toEqual(others("aks"));
    });

    test.for(["aks-private-custom-dns", "aks-private-existing-dns"])(
      "the text of %s is that of aks but for comments, the region, the network and the API server",
      (name) => {
        const read = (file: string) => readFileSync(join(root, fileOf(file)), "utf8");
        const own =
          /^\/\/.*\n|^using .*\n|^.*\bregion\b.*\n|^ {2}(apiServer|network): (\{\n[\s\S]*?\n {2}\}|\{.*\})\n/gm;
        expect(read(name).replaceAll(own, "")).toBe(read("aks").replaceAll(own, ""));
      },
    );

    test("a custom zone is linked to the network of the nodes", () => {
      const network = plans.find("aks-private-custom-dns", "Microsoft.Network/virtualNetworks");
      const link = plans.find("aks-private-custom-dns", "Microsoft.Network/privateDnsZones/virtualNetworkLinks");
      expect(link.properties).toEqual({ registrationEnabled: false, virtualNetwork: { id: network.id } });
    });
  });

  describe("policies", () => {
    const assignments = (plan: string) =>
      plans.of(plan).resources.filter(({ type }) => type === "Microsoft.Authorization/policyAssignments");
    const parameters = (plan: string, name: string) =>
      field(assignments(plan).find((assignment) => assignment.name === name)?.properties, "parameters");
    const exempt = (...more: string[]) => ({ value: [...exemptNamespaces, ...more] });

    test("by default, pods with privileged containers are rejected in all namespaces but those that the definition exempts", () => {
      expect(assignments("aks").map(({ name }) => name)).toEqual(["no-privileged-containers"]);
      expect(parameters("aks", "no-privileged-containers")).toEqual({ effect: { value: "deny" } });
    });

    test("with the effect audit, they are reported, and excludedNamespaces extends the exemptions of the definition", () => {
      expect(parameters("aks-dns-system", "no-privileged-containers")).toEqual({
        effect: { value: "audit" },
        excludedNamespaces: exempt("monitoring"),
      });
    });

    test("the policy applies only to the namespaces and pod labels of the parameters", () => {
      expect(parameters("aks-policy-labels", "no-privileged-containers")).toEqual({
        effect: { value: "deny" },
        namespaces: { value: ["team-*", "*-prod"] },
        labelSelector: { value: { matchLabels: { tier: "web" } } },
        excludedNamespaces: exempt("team-platform"),
      });
    });

    test("the example aks-policy denies privileged containers in its namespaces and audits the baseline in all", () => {
      expect(assignments("aks-policy").map(({ name }) => name)).toEqual([
        "no-privileged-containers",
        "pod-security-baseline",
      ]);
      expect(parameters("aks-policy", "no-privileged-containers")).toEqual({
        effect: { value: "deny" },
        namespaces: { value: ["default", "dapr-samples", "team-*"] },
      });
      expect(parameters("aks-policy", "pod-security-baseline")).toEqual({
        effect: { value: "audit" },
        excludedNamespaces: exempt("monitoring"),
      });
    });

    test("the baseline can be denied in chosen namespaces", () => {
      expect(parameters("aks-policy-labels", "pod-security-baseline")).toEqual({
        effect: { value: "deny" },
        namespaces: { value: ["team-a"] },
      });
    });

    test.for(["aks", "aks-dns-system", "aks-policy", "aks-policy-labels"])(
      "%s assigns definitions and initiatives that exist, with parameters that they accept",
      (plan) => {
        for (const { properties } of assignments(plan)) {
          const [, kind, id = ""] =
            /^\/providers\/Microsoft\.Authorization\/(policyDefinitions|policySetDefinitions)\/([^/]+)$/.exec(
              textAt(properties, "policyDefinitionId"),
            ) ?? [];
          const set = kind === "policySetDefinitions" ? kind : "policyDefinitions";
          expect(listAssignmentErrors(set, id, objectAt(properties, "parameters"))).toEqual([]);
        }
      },
    );
  });

  describe("network", () => {
    const created = `/subscriptions/${subscription}/resourceGroups/rg-dapr-samples/providers/Microsoft.Network/virtualNetworks/vnet-dapr-samples`;
    const spoke =
      "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke";

    test.for([
      ["aks", `${created}/subnets/nodes`],
      ["aks-existing-network", `${spoke}/subnets/snet-aks`],
      ["aks-dns-system", created.replaceAll("dapr-samples", "aks-dns-system")],
      ["aks-private-custom-dns", created],
      ["aks-private-existing-dns", spoke],
    ] as const)(
      "the cluster of %s is Network Contributor of its subnet, or of the network for a private zone",
      ([plan, scope]) => {
        expect(scopesOf(plan, networkContributor)).toEqual([scope]);
      },
    );

    test("an existing subnet gets the nodes, with the address ranges of the parameters, and no network is created", () => {
      expect(cluster("aks-existing-network")).toMatchObject({
        networkProfile: { podCidr: "100.64.0.0/16", serviceCidr: "100.65.0.0/24", dnsServiceIP: "100.65.0.10" },
        agentPoolProfiles: [
          { vnetSubnetID: `${spoke}/subnets/snet-aks` },
          { vnetSubnetID: `${spoke}/subnets/snet-aks` },
        ],
      });
      const types = plans.of("aks-existing-network").resources.map(({ type }) => type);
      expect(types.filter((type) => type.startsWith("Microsoft.Network/"))).toEqual([]);
    });

    test("an existing private DNS zone gets the records of the API server, a role at its scope, and no second link", () => {
      const zone =
        "/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg-hub/providers/Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io";
      expect(at(cluster("aks-private-existing-dns"), "apiServerAccessProfile")).toMatchObject({
        enablePrivateCluster: true,
        privateDNSZone: zone,
      });
      expect(scopesOf("aks-private-existing-dns", zoneContributor)).toEqual([zone]);
      const types = plans.of("aks-private-existing-dns").resources.map(({ type }) => type);
      expect(types.filter((type) => type.startsWith("Microsoft.Network/"))).toEqual([]);
    });
  });

  describe("operations", () => {
    test("a maintenance window holds for upgrades of Kubernetes and of the nodes", () => {
      const windows = plans
        .of("aks-operations")
        .resources.filter(({ type }) => type.endsWith("/maintenanceConfigurations"));
      const maintenanceWindow = {
        schedule: { weekly: { dayOfWeek: "Sunday", intervalWeeks: 1 } },
        startTime: "01:00",
        durationHours: 4,
        utcOffset: "+01:00",
      };
      expect(windows.map(({ name, properties }) => [name, properties])).toEqual([
        ["aks-dapr-samples/aksManagedAutoUpgradeSchedule", { maintenanceWindow }],
        ["aks-dapr-samples/aksManagedNodeOSUpgradeSchedule", { maintenanceWindow }],
      ]);
    });

    test("Container insights sends logs and events to the workspace, without its key", () => {
      const workspace = plans.find("aks-operations", "Microsoft.OperationalInsights/workspaces").id;
      expect(at(cluster("aks-operations"), "addonProfiles.omsagent")).toEqual({
        enabled: true,
        config: { logAnalyticsWorkspaceResourceID: workspace, useAADAuth: "true" },
      });
      const rule = plans.find("aks-operations", rules, "dcr-logs-aks-dapr-samples");
      const streams = ["Microsoft-ContainerLogV2", "Microsoft-KubeEvents", "Microsoft-KubePodInventory"];
      expect(rule.properties).toMatchObject({
        dataSources: { extensions: [{ extensionName: "ContainerInsights", streams }] },
        destinations: { logAnalytics: [{ name: "workspace", workspaceResourceId: workspace }] },
        dataFlows: [{ streams, destinations: ["workspace"] }],
      });
      expect(plans.find("aks-operations", associations, "ContainerInsightsExtension").properties).toEqual({
        dataCollectionRuleId: rule.id,
      });
    });

    test("managed Prometheus sends metrics to an Azure Monitor workspace", () => {
      expect(at(cluster("aks-operations"), "azureMonitorProfile.metrics.enabled")).toBe(true);
      const rule = plans.find("aks-operations", rules, "dcr-metrics-aks-dapr-samples");
      const streams = ["Microsoft-PrometheusMetrics"];
      expect(rule.properties).toMatchObject({
        dataCollectionEndpointId: plans.find("aks-operations", "Microsoft.Insights/dataCollectionEndpoints").id,
        dataSources: { prometheusForwarder: [{ streams }] },
        destinations: {
          monitoringAccounts: [
            { name: "workspace", accountResourceId: plans.find("aks-operations", "Microsoft.Monitor/accounts").id },
          ],
        },
        dataFlows: [{ streams, destinations: ["workspace"] }],
      });
      expect(plans.find("aks-operations", associations, "dcr-metrics").properties).toEqual({
        dataCollectionRuleId: rule.id,
      });
    });

    test("by default AKS has no maintenance window and sends no logs of containers and no metrics", () => {
      expect(cluster("aks")).toMatchObject({
        addonProfiles: { omsagent: { enabled: false } },
        azureMonitorProfile: { metrics: { enabled: false } },
      });
      const types = plans.of("aks").resources.map(({ type }) => type);
      expect(types.filter((type) => /maintenance|dataCollection|Monitor\//.test(type))).toEqual([]);
    });

    const rules = "Microsoft.Insights/dataCollectionRules";
    const associations = "Microsoft.Insights/dataCollectionRuleAssociations";
  });
});
