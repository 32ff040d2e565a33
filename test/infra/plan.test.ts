// Plans of the real compiler: the resources, roles, keys and outputs of each parameter file of main.bicep.
// plan-container-apps.test.ts and plan-aks.test.ts test the settings of each platform.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { field } from "../../services/runtime/field.ts";
import { textAt } from "../support/at.ts";
import { environment, findBicepOrSkip, type Plan, subscription, tenant } from "../support/bicep.ts";
import { makePlans, type Plans, planIn } from "../support/plans.ts";
import { root } from "../support/processes.ts";
import { shorten } from "../support/shorten.ts";

const path = await findBicepOrSkip();

/** Names of the assigned roles, by the last part of their ids. */
const roles: Record<string, string> = {
  "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
  "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
  "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
  "00000000-0000-0000-0000-000000000002": "Cosmos DB Built-in Data Contributor",
  "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
  "b12aa53e-6015-4669-85d0-8515ebb3ae7f": "Private DNS Zone Contributor",
  "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
  "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b": "Azure Kubernetes Service RBAC Cluster Admin",
};

describe.skipIf(!path)("plans", { timeout: 120_000 }, () => {
  let plans: Plans;

  beforeAll(async () => {
    plans = await makePlans(path ?? "", [
      "containerapps",
      "containerapps-keyed",
      "containerapps-private",
      "aks",
      "aks-private-custom-dns",
      "aks-dns-system",
      "aks-dns-none",
    ]);
  }, 120_000);

  /** Shortens an id: no subscription and group, and … for the random part of globally unique names. */
  const short = (id: string) =>
    shorten(id)
      // The name of the vault is an expression, so the id of its audit log is one, too.
      .replace(
        /^\[if\(equals\(.*?startsWith\('([^']+)'.*'(Microsoft.Insights\/\w+)', 'logs'\)\)\]$/,
        "$1/providers/$2/logs",
      )
      .replace(/^\/subscriptions\/[^/]+(\/resourceGroups\/[^/]+)?/, "")
      .replace("/providers/", "")
      .replace(/(cr|cosmos-|log-|vnet-dapr-samples-)[a-z0-9]{13}/, "$1…");
  /** The name of the vault contains a hash of the principal id of welcome's identity. */
  const vault = "Microsoft.KeyVault/vaults/kv-<welcomeIdentity.principalId>";
  const cluster = "Microsoft.ContainerService/managedClusters/aks-dapr-samples";
  const zone = "Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io";

  describe("resources", () => {
    /** The audit log of a resource. */
    const logOf = (id: string) => `${id}/providers/Microsoft.Insights/diagnosticSettings/logs`;
    const common = [
      "", // the resource group
      "Microsoft.ContainerRegistry/registries/cr…",
      logOf("Microsoft.ContainerRegistry/registries/cr…"),
      "Microsoft.DocumentDB/databaseAccounts/cosmos-…",
      logOf("Microsoft.DocumentDB/databaseAccounts/cosmos-…"),
      "Microsoft.DocumentDB/databaseAccounts/cosmos-…/sqlDatabases/dapr-db",
      "Microsoft.DocumentDB/databaseAccounts/cosmos-…/sqlDatabases/dapr-db/containers/statestore",
      vault,
      logOf(vault),
      `${vault}/secrets/demosecret`,
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-group-lister",
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-state-api",
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-welcome",
      "Microsoft.OperationalInsights/workspaces/log-…",
      "Microsoft.Portal/dashboards/dash-dapr-samples",
    ];
    const containerApps = [
      "Microsoft.Insights/components/appi-dapr-samples",
      "Microsoft.App/managedEnvironments/cae-dapr-samples",
      "Microsoft.App/managedEnvironments/cae-dapr-samples/daprComponents/statestore",
      "Microsoft.App/managedEnvironments/cae-dapr-samples/daprComponents/statestore/resiliencyPolicies/statestore",
      "Microsoft.App/managedEnvironments/cae-dapr-samples/providers/Microsoft.Insights/diagnosticSettings/logs",
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-pull",
    ];
    const appsNetwork = "Microsoft.Network/virtualNetworks/vnet-dapr-samples";
    const appsZone = "Microsoft.Network/privateDnsZones/environment.domain";
    const privateNetwork = [
      appsNetwork,
      `${appsNetwork}/subnets/environment`,
      appsZone,
      `${appsZone}/A/*`,
      `${appsZone}/virtualNetworkLinks/vnet-dapr-samples-…`,
    ];
    const aks = [
      "Microsoft.Authorization/policyAssignments/no-privileged-containers",
      cluster,
      `${cluster}/providers/Microsoft.Insights/diagnosticSettings/logs`,
      `${cluster}/providers/Microsoft.KubernetesConfiguration/extensions/dapr`,
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-cluster",
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-group-lister/federatedIdentityCredentials/aks-dapr-samples",
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-state-api/federatedIdentityCredentials/aks-dapr-samples",
      "Microsoft.ManagedIdentity/userAssignedIdentities/id-welcome/federatedIdentityCredentials/aks-dapr-samples",
      "Microsoft.Network/virtualNetworks/vnet-dapr-samples",
    ];

    test.for([
      ["containerapps", containerApps],
      ["containerapps-keyed", containerApps],
      ["containerapps-private", [...containerApps, ...privateNetwork]],
      ["aks", aks],
      ["aks-private-custom-dns", [...aks, zone, `${zone}/virtualNetworkLinks/vnet-dapr-samples-…`]],
    ] as const)("%s creates exactly the expected resources", ([plan, own]) => {
      const ids = plans
        .of(plan)
        .resources.map(({ id }) => short(id))
        .filter((id) => !id.includes("roleAssignments") && !id.includes("sqlRoleAssignments"));
      expect(ids.sort()).toEqual([...common, ...own].sort());
    });
  });

  describe("role assignments", () => {
    const pull = "id-pull AcrPull Microsoft.ContainerRegistry/registries/cr…";
    const account = "Microsoft.DocumentDB/databaseAccounts/cosmos-…";
    const data = `id-state-api Cosmos DB Built-in Data Contributor ${account}/dbs/dapr-db/colls/statestore`;
    const secret = `id-welcome Key Vault Secrets User ${vault}/secrets/demosecret`;
    const network = "id-cluster Network Contributor Microsoft.Network/virtualNetworks/vnet-dapr-samples";
    const nodes = [
      "the kubelet AcrPull Microsoft.ContainerRegistry/registries/cr…",
      `${environment.AZURE_PRINCIPAL_ID} Azure Kubernetes Service RBAC Cluster Admin the resource group`,
    ];
    const readGroup = "id-group-lister Reader the resource group";
    const writeZone = `id-cluster Private DNS Zone Contributor ${zone}`;

    test.for([
      ["containerapps", [pull, data, secret, readGroup]],
      ["containerapps-keyed", [pull, secret, readGroup]],
      ["aks", [...nodes, `${network}/subnets/nodes`, data, secret, readGroup]],
      ["aks-private-custom-dns", [...nodes, network, data, secret, readGroup, writeZone]],
    ] as const)("%s assigns exactly the expected roles", ([plan, expected]) => {
      const assigned = assignmentsOf(plans.of(plan)).map(
        ({ principal, role, scope }) => `${principals[principal] ?? principal} ${roles[lastPart(role)]} ${scope}`,
      );
      expect(assigned.sort()).toEqual([...expected].sort());
    });

    test.for(["containerapps", "aks"])(
      "%s with LISTED=subscription lets group-lister read the subscription",
      async (file) => {
        const env = { ...environment, LISTED: "subscription" };
        const assigned = assignmentsOf(await planIn(path ?? "", env, `infra/bicep/parameters/${file}.bicepparam`));
        const reading = assigned.filter(({ principal }) => principal === "groupListerIdentity.principalId");
        expect(reading.filter(({ role }) => roles[lastPart(role)] === "Reader")).toMatchObject([
          { scope: "the subscription" },
        ]);
      },
    );

    /** The assignments that these variables add to the plan of a parameter file. */
    async function assignedWith(file: string, variables: Readonly<Record<string, string>>) {
      const plan = await planIn(
        path ?? "",
        { ...environment, ...variables },
        `infra/bicep/parameters/${file}.bicepparam`,
      );
      const others = assignmentsOf(plans.of(file)).map(({ name }) => name);
      return assignmentsOf(plan)
        .filter(({ name }) => !others.includes(name))
        .map(({ principal, role, scope }) => [principal, roles[lastPart(role)], scope]);
    }

    const officer = "55555555-5555-4555-8555-555555555555";

    test.for(["containerapps", "aks"])("%s lets SECRETS_OFFICER set the secrets of the vault", async (file) => {
      expect(await assignedWith(file, { SECRETS_OFFICER: officer })).toEqual([
        [officer, "Key Vault Secrets Officer", vault],
      ]);
      expect(await assignedWith(file, { SECRETS_OFFICER: "", SECRETS_OFFICER_TYPE: "Group" })).toEqual([]);
    });

    test("KEY_VAULT_ADDON_IDENTITY lets the identity of the add-on read demosecret, by its principal id", async () => {
      expect(await assignedWith("aks", { KEY_VAULT_ADDON_IDENTITY: "true" })).toEqual([
        [
          "aks.keyVaultAddonPrincipalId",
          "Key Vault Secrets User",
          "Microsoft.KeyVault/vaults/vault.name/secrets/demosecret",
        ],
      ]);
      expect(await assignedWith("aks", { KEY_VAULT_ADDON_IDENTITY: "false" })).toEqual([]);
    });

    // An assignment cannot change its principal: https://github.com/MicrosoftDocs/azure-docs/issues/85388
    test("every name is a hash of scope, principal and role, so that a recreated identity gets a new assignment", () => {
      const assigned = plans.all.flatMap(assignmentsOf);
      expect(assigned).not.toHaveLength(0);
      for (const { name, principal, role } of assigned) {
        if (principal === environment.AZURE_PRINCIPAL_ID) continue; // not an identity of the template
        expect(name).toMatch(/guid\('\/subscriptions\//);
        expect(name).toContain(`, '${principal}', '${role.replace(/.*sqlRoleDefinitions\//, "")}')`);
      }
    });

    function assignmentsOf({ resources }: Plan) {
      return resources
        .filter(({ type }) => type.endsWith("oleAssignments"))
        .map(({ id, name, properties }) => ({
          name: shorten(name),
          principal: shorten(textAt(properties, "principalId")),
          role: textAt(properties, "roleDefinitionId"),
          scope: scopeOf(shorten(id), field(properties, "scope")),
        }));
    }

    /** @param ofData scope of a role of Cosmos DB, which is a property; that of other roles is part of their id */
    function scopeOf(id: string, ofData: unknown): string {
      if (ofData) return short(String(ofData));
      if (id.startsWith("[subscriptionResourceId(")) return "the subscription";
      if (/^\[resourceId\('[^']+', '[^']+', 'Microsoft.Authorization\/roleAssignments'/.test(id)) {
        return "the resource group";
      }
      const [, target = id] = /^\[(?:extensionResourceId\(|if\(equals\()'([^']+)'/.exec(id) ?? [];
      return short(target.replace(/\/providers\/[^/]+\/roleAssignments\/.*$/, "")) || "the resource group";
    }
    const principals: Record<string, string> = {
      "groupListerIdentity.principalId": "id-group-lister",
      "stateApiIdentity.principalId": "id-state-api",
      "welcomeIdentity.principalId": "id-welcome",
      "pullIdentity.principalId": "id-pull",
      "clusterIdentity.principalId": "id-cluster",
      "cluster.kubeletPrincipalId": "the kubelet",
    };
    const lastPart = (id: string) => id.split("/").at(-1) ?? "";

    test("every resource with an identity has exactly one, user-assigned", () => {
      const identities = plans.all
        .flatMap(({ resources }) => resources)
        .flatMap((resource) => field(resource, "identity") ?? []);
      expect(identities).not.toHaveLength(0);
      for (const identity of identities) {
        expect(field(identity, "type")).toBe("UserAssigned");
        expect(Object.keys(field(identity, "userAssignedIdentities") ?? {})).toHaveLength(1);
      }
    });
  });

  describe("keys and secrets", () => {
    test("only containerapps-keyed reads a key, and passes it on as a secret of the Dapr component", () => {
      for (const name of plans.names) {
        const keys = plans.of(name).text.match(/list[A-Z]\w*\([^)]*\)|[a-z]+Key\b(?=")/gi) ?? [];
        expect([name, keys.filter((key) => !/^(partitionKey|publicKey)/.test(key))]).toEqual([
          name,
          name === "containerapps-keyed" ? [expect.stringMatching(/^listKeys\('.*databaseAccounts/), "masterKey"] : [],
        ]);
      }
      const { properties } = plans.find("containerapps-keyed", "Microsoft.App/managedEnvironments/daprComponents");
      expect(properties).toMatchObject({
        secrets: [{ name: "cosmos-key", value: expect.stringContaining("listKeys(") }],
        metadata: expect.arrayContaining([{ name: "masterKey", secretRef: "cosmos-key" }]),
      });
    });

    test("key authentication is off in Cosmos DB, registry and cluster, and the vault uses roles", () => {
      for (const plan of plans.names) {
        const disableLocalAuth = plan !== "containerapps-keyed";
        expect(plans.find(plan, "Microsoft.DocumentDB/databaseAccounts").properties).toMatchObject({
          disableLocalAuth,
        });
        expect(plans.find(plan, "Microsoft.ContainerRegistry/registries").properties).toMatchObject({
          adminUserEnabled: false,
        });
        expect(plans.find(plan, "Microsoft.KeyVault/vaults").properties).toMatchObject({
          tenantId: tenant,
          enableRbacAuthorization: true,
          enablePurgeProtection: true,
        });
        if (plan.startsWith("aks")) {
          expect(plans.find(plan, "Microsoft.ContainerService/managedClusters").properties).toMatchObject({
            disableLocalAccounts: true,
          });
        }
      }
    });

    test("the value of demosecret appears in no plan, and no output contains a secret", () => {
      for (const { text, outputs } of plans.all) {
        expect(text).not.toContain(environment.DEMO_SECRET);
        expect(JSON.stringify(outputs)).not.toMatch(/listKeys|connectionString|demoSecret/i);
      }
      const { properties } = plans.find("aks", "Microsoft.KeyVault/vaults/secrets");
      expect(properties).toMatchObject({ value: "[parameters('demoSecret')]" });
    });
  });

  test("the outputs have the names that the manifests, the components and azd read", () => {
    for (const { outputs } of plans.all) {
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
      ]);
      expect(outputs).toMatchObject({ AZURE_SUBSCRIPTION_ID: subscription, AZURE_TENANT_ID: tenant });
    }
    expect(plans.of("aks").outputs.AZURE_AKS_CLUSTER_NAME).toBe("aks-dapr-samples");
    expect(plans.of("containerapps").outputs.AZURE_AKS_CLUSTER_NAME).toBe("");
    const settings = parse(readFileSync(join(root, "infra/kubernetes/overlays/aks/settings.yaml"), "utf8"));
    const chosen = ["IMAGES", "TAG", "WELCOME_HOST", "WELCOME_DNS_LABEL", "WELCOME_SIGN_IN_CLIENT_ID"]; // by the user
    const names = Object.keys(field(settings, "data") ?? {}).filter((name) => !chosen.includes(name));
    expect(names).not.toEqual([]);
    expect(Object.keys(plans.of("aks").outputs)).toEqual(expect.arrayContaining(names));
  });

  describe("Cosmos DB", () => {
    test("every account has Session consistency, TLS 1.2, and a container that Dapr can use", () => {
      for (const plan of plans.names) {
        expect(plans.find(plan, "Microsoft.DocumentDB/databaseAccounts").properties).toMatchObject({
          consistencyPolicy: { defaultConsistencyLevel: "Session" },
          minimalTlsVersion: "Tls12",
        });
        const container = plans.find(plan, "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers");
        expect(container.properties).toMatchObject({
          resource: { id: "statestore", partitionKey: { kind: "Hash", paths: ["/partitionKey"] }, defaultTtl: -1 },
        });
      }
    });

    test.for([
      ["containerapps", [{ name: "EnableServerless" }], {}],
      ["containerapps-keyed", [], { throughput: 400 }],
      ["containerapps-private", [], { autoscaleSettings: { maxThroughput: 1000 } }],
    ] as const)("the account of %s has the capacity that cosmosCapacity sets", ([plan, capabilities, options]) => {
      const account = plans.find(plan, "Microsoft.DocumentDB/databaseAccounts");
      expect(field(account.properties, "capabilities")).toEqual(capabilities);
      const container = plans.find(plan, "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers");
      expect(field(container.properties, "options")).toEqual(options);
    });
  });
});
