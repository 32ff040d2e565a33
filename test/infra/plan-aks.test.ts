// Plans of the real compiler: the settings of the cluster, its network, its API server and its policy on AKS.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { field } from "../../services/runtime/field.ts";
import { listAt, textAt } from "../support/at.ts";
import { findBicepOrSkip, startBicep, subscription, tenant } from "../support/bicep.ts";
import { makePlans, type Plans } from "../support/plans.ts";
import { root } from "../support/processes.ts";

const path = await findBicepOrSkip();

describe.skipIf(!path)("the plan for AKS", { timeout: 120_000 }, () => {
  let plans: Plans;

  beforeAll(async () => {
    plans = await makePlans(path ?? "", ["aks", "aks-private-custom-dns", "aks-dns-system", "aks-dns-none"]);
  }, 120_000);

  const cluster = (plan: string) => plans.find(plan, "Microsoft.ContainerService/managedClusters").properties;

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

  test("uses Azure CNI overlay, with all nodes in one subnet", () => {
    expect(field(cluster("aks"), "networkProfile")).toMatchObject({
      networkPlugin: "azure",
      networkPluginMode: "overlay",
      serviceCidr: "10.3.0.0/24",
      dnsServiceIP: "10.3.0.10",
    });
    const network = plans.find("aks", "Microsoft.Network/virtualNetworks");
    const subnet = `${network.id}/subnets/${textAt(network.properties, "subnets.0.name")}`;
    const pools = listAt(cluster("aks"), "agentPoolProfiles");
    expect(pools.map((pool) => field(pool, "vnetSubnetID"))).toEqual([subnet, subnet]);
  });

  test("has a tainted system pool and a user pool, both in all zones", () => {
    expect(field(cluster("aks"), "agentPoolProfiles")).toMatchObject([
      { mode: "System", nodeTaints: ["CriticalAddonsOnly=true:NoSchedule"], availabilityZones: ["1", "2", "3"] },
      { mode: "User", availabilityZones: ["1", "2", "3"] },
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
      parseAllDocuments(readFileSync(join(root, `infra/kubernetes/base/${service}.yaml`), "utf8"))
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
      expect([...allBefore("aks")]).toEqual(expect.arrayContaining(["clusterNetworkAccess", "clusterZone", "cosmos"]));
    });

    test("the roles of the cluster wait only for its identity, the network and the resource group", () => {
      for (const role of ["clusterNetworkAccess", "clusterZone"]) {
        expect([role, [...allBefore(role)].sort()]).toEqual([role, ["clusterIdentity", "clusterNetwork", "group"]]);
      }
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
        { enablePrivateCluster: true, privateDNSZone: zoneId, enablePrivateClusterPublicFQDN: false },
        null,
        "aks-dapr-samples",
      ],
    ] as const)(
      "the API server of %s has the DNS settings that apiServer.dns selects",
      ([plan, access, dnsPrefix, fqdnSubdomain]) => {
        expect(cluster(plan)).toMatchObject({ apiServerAccessProfile: access, dnsPrefix, fqdnSubdomain });
        const zones = plans.of(plan).resources.filter(({ type }) => type === "Microsoft.Network/privateDnsZones");
        expect(zones).toHaveLength(plan === "aks-private-custom-dns" ? 1 : 0);
      },
    );

    test("a custom zone is linked to the network of the nodes", () => {
      const network = plans.find("aks-private-custom-dns", "Microsoft.Network/virtualNetworks");
      const link = plans.find("aks-private-custom-dns", "Microsoft.Network/privateDnsZones/virtualNetworkLinks");
      expect(link.properties).toEqual({ registrationEnabled: false, virtualNetwork: { id: network.id } });
    });
  });

  test.for([
    ["aks", "deny", []],
    ["aks-private-custom-dns", "audit", ["monitoring"]],
  ] as const)("the policy of %s for privileged containers has the effect %s", ([plan, effect, more]) => {
    expect(plans.find(plan, "Microsoft.Authorization/policyAssignments").properties).toMatchObject({
      policyDefinitionId: "/providers/Microsoft.Authorization/policyDefinitions/95edb821-ddaf-4404-9732-666045e056b4",
      parameters: {
        effect: { value: effect },
        excludedNamespaces: { value: ["kube-system", "gatekeeper-system", "azure-arc", ...more] },
      },
    });
  });
});
