// Tests the rules of Azure that the simulator of Azure Resource Manager applies. Each test names the source of a rule,
// or the simulator does at the rule.
import { beforeEach, describe, expect, test } from "vitest";
import { at, listAt, textAt } from "../support/at.ts";
import { type SimulatedAzure, simulateAzure } from "../support/simulated-azure.ts";

const acrPull = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
const secretsUser = "4633458b-17de-408a-b874-0445c86b69e6";
const reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const zoneContributor = "b12aa53e-6015-4669-85d0-8515ebb3ae7f";
const identityOperator = "f1a07417-d97a-45cb-824c-7a7467783830";
const group = "rg-rules";

let azure: SimulatedAzure;
const broken = new Set<string>();
const path = (type: string) => `${azure.root}/resourceGroups/${group}/providers/${type}`;
beforeEach(async () => {
  broken.clear();
  azure = simulateAzure({ isReady: (image) => !broken.has(image) });
  await azure.putGroup(group);
});

describe("revisions of a container app", () => {
  const app = () => path("Microsoft.App/containerApps/app");
  const containers = (image: string) => [{ name: "app", image: `elsewhere.io/app:${image}` }];
  const ingress = { external: true, targetPort: 8080 };
  const deploy = (image: string, configuration: object = {}, suffix?: string) =>
    azure.put(app(), {
      configuration: { ingress, ...configuration },
      template: { containers: containers(image), ...(suffix ? { revisionSuffix: suffix } : {}) },
    });
  const revisions = () =>
    Object.fromEntries(
      azure
        .list("Microsoft.App/containerApps/revisions")
        .map(({ name, properties }) => [
          name,
          `${properties.runningState} ${properties.active ? "active" : "inactive"} ${properties.trafficWeight}`,
        ]),
    );
  const multiple = (...traffic: object[]) => ({
    activeRevisionsMode: "Multiple",
    ingress: { ...ingress, traffic },
  });

  test("a changed template adds a revision with a new name; a changed configuration adds none", async () => {
    await deploy("v1");
    await deploy("v1", { ingress: { ...ingress, external: false } });
    expect(Object.keys(revisions())).toEqual(["app--0000001"]);
    await deploy("v2");
    await deploy("v1");
    expect(Object.keys(revisions())).toEqual(["app--0000001", "app--0000002", "app--0000003"]);
  });

  // https://learn.microsoft.com/azure/container-apps/revisions
  test("each revision has a host name beside that of the app, with internal. while the ingress is internal", async () => {
    const hosts = () => azure.list("Microsoft.App/containerApps/revisions").map(({ properties }) => properties.fqdn);
    await deploy("v1");
    await deploy("v2");
    const host = textAt(azure.store.find(app()), "properties.configuration.ingress.fqdn");
    const domain = host.replace(/^app\./, "");
    expect(hosts()).toEqual([`app--0000001.${domain}`, `app--0000002.${domain}`]);
    await deploy("v2", { ingress: { ...ingress, external: false } });
    expect(hosts()).toEqual([`app--0000001.internal.${domain}`, `app--0000002.internal.${domain}`]);
  });

  test("the operation fails when a suffix was used for another template, and the app stays as it was", async () => {
    await deploy("v1", {}, "a");
    await expect(deploy("v2", {}, "a")).rejects.toThrow(
      /ContainerAppOperationError: Failed to provision revision for container app 'app'.*revision with suffix a already exists/,
    );
    expect(at(azure.store.find(app()), "properties.template")).toMatchObject({ containers: containers("v1") });
  });

  test("a change during an operation on the app is rejected with 409", async () => {
    const body = { location: "westeurope", properties: { template: { containers: containers("v1") } } };
    await azure.request("PUT", app(), body);
    expect(await azure.request("PATCH", app(), body)).toMatchObject({
      status: 409,
      body: { error: { code: "ContainerAppOperationInProgress" } },
    });
  });

  test("in the mode Single, a new revision that is ready replaces the old one", async () => {
    await deploy("v1");
    await deploy("v2");
    expect(revisions()).toEqual({ "app--0000001": "Running inactive 0", "app--0000002": "Running active 100" });
  });

  test("in the mode Single, a revision that fails gets no traffic, and the old one stays active", async () => {
    await deploy("v1");
    broken.add("elsewhere.io/app:v2");
    const { properties } = await deploy("v2");
    expect(revisions()).toEqual({ "app--0000001": "Running active 100", "app--0000002": "Failed active 0" });
    expect(properties).toMatchObject({
      provisioningState: "Succeeded",
      latestRevisionName: "app--0000002",
      latestReadyRevisionName: "app--0000001",
    });
  });

  test("in the mode Multiple, a revision that fails gets the traffic that names it, not the latest revision's", async () => {
    await deploy("v1", multiple({ latestRevision: true, weight: 100 }));
    broken.add("elsewhere.io/app:v2");
    await deploy("v2", multiple({ latestRevision: true, weight: 100 }));
    expect(revisions()).toEqual({ "app--0000001": "Running active 100", "app--0000002": "Failed active 0" });
    await deploy("v2", multiple({ revisionName: "app--0000002", weight: 100 }));
    expect(revisions()).toEqual({ "app--0000001": "Running active 0", "app--0000002": "Failed active 100" });
  });

  test("the mode Multiple keeps old revisions active until the mode is Single again", async () => {
    await deploy("v1");
    const blue = { revisionName: "app--0000001", label: "blue", weight: 100 };
    await deploy("v2", multiple(blue, { latestRevision: true, label: "green", weight: 0 }));
    expect(revisions()).toEqual({ "app--0000001": "Running active 100", "app--0000002": "Running active 0" });
    await deploy("v2");
    expect(revisions()).toEqual({ "app--0000001": "Running inactive 0", "app--0000002": "Running active 100" });
  });
});

describe("a domain of a container app", () => {
  const name = "welcome.example.com";
  const environment = () => path("Microsoft.App/managedEnvironments/cae");
  const certificate = () => `${environment()}/managedCertificates/welcome`;
  const deploy = (domain: object) =>
    azure.put(path("Microsoft.App/containerApps/app"), {
      environmentId: environment(),
      configuration: { ingress: { external: true, targetPort: 8080, customDomains: [{ name, ...domain }] } },
      template: { containers: [{ name: "app", image: "elsewhere.io/app:v1" }] },
    });
  const request = () => azure.put(certificate(), { subjectName: name, domainControlValidation: "CNAME" });

  test("gets a certificate when an app has it, and can be bound when the certificate exists", async () => {
    await azure.put(environment(), {});
    await expect(request()).rejects.toThrow(/RequireCustomHostnameInEnvironment: .*'welcome.example.com'/);
    await expect(deploy({ bindingType: "SniEnabled", certificateId: certificate() })).rejects.toThrow(
      /InvalidCertificateId/,
    );
    await deploy({ bindingType: "Disabled" });
    await request();
    await deploy({ bindingType: "SniEnabled", certificateId: certificate() });
  });

  test("with the binding Auto, an app cannot be changed once the certificate exists", async () => {
    await azure.put(environment(), {});
    await deploy({ bindingType: "Auto" });
    await request();
    await expect(deploy({ bindingType: "Auto" })).rejects.toThrow(
      /InvalidCertificateId: Invalid certificateId '\/subscriptions\/\/resourceGroups\//,
    );
  });
});

describe("what a container app reads", () => {
  const app = (image: string, identity: string, secrets: object[] = []) =>
    azure.put(path("Microsoft.App/containerApps/app"), {
      configuration: { registries: [{ server: "cr.azurecr.io", identity }], secrets },
      template: { containers: [{ name: "app", image }] },
    });

  test("an image needs AcrPull in effect, and has to exist", async () => {
    const registry = path("Microsoft.ContainerRegistry/registries/cr");
    await azure.put(registry, {});
    const { id, principalId } = await azure.putIdentity(group, "id-app");
    const missing =
      /ContainerAppOperationError: .*'template.containers.app.image'.*unable to pull image using Managed identity .*id-app for registry cr.azurecr.io/;
    await expect(app("cr.azurecr.io/app:v1", id)).rejects.toThrow(missing);
    await azure.assignRole(registry, acrPull, principalId);
    await expect(app("cr.azurecr.io/app:v1", id)).rejects.toThrow(missing);
    azure.clock.now += 60;
    await expect(app("cr.azurecr.io/app:v1", id)).rejects.toThrow(/MANIFEST_UNKNOWN: manifest tagged by "v1"/);
    azure.push("cr.azurecr.io/app:v1");
    await app("cr.azurecr.io/app:v1", id);
  });

  test("a reference to Key Vault needs the identity's role in effect", async () => {
    const secret = path("Microsoft.KeyVault/vaults/kv/secrets/demosecret");
    await azure.put(path("Microsoft.KeyVault/vaults/kv"), {});
    await azure.put(secret, { value: "value" });
    const { id, principalId } = await azure.putIdentity(group, "id-app");
    const keyVaultUrl = "https://kv.vault.azure.net/secrets/demosecret";
    const deploy = () => app("elsewhere.io/app:v1", id, [{ name: "demosecret", keyVaultUrl, identity: id }]);
    await azure.assignRole(secret, secretsUser, principalId);
    await expect(deploy()).rejects.toThrow(
      /InvalidParameterValueInContainerTemplate: .*Unable to get value using Managed identity .*id-app for secret demosecret/,
    );
    azure.clock.now += 60;
    await deploy();
  });
});

describe("role assignments", () => {
  const scope = () => `${azure.root}/resourceGroups/${group}`;

  test("an assignment cannot change its principal or role, and can be repeated", async () => {
    await azure.assignRole(scope(), reader, "someone", "a");
    await azure.assignRole(scope(), reader, "someone", "a");
    for (const [role, principal] of [
      [reader, "other"],
      [acrPull, "someone"],
    ] as const) {
      await expect(azure.assignRole(scope(), role, principal, "a")).rejects.toThrow(
        /RoleAssignmentUpdateNotPermitted: Tenant ID, application ID, principal ID, and scope are not allowed to be updated/,
      );
    }
  });

  test("the same role of the same principal at the same scope cannot have two names", async () => {
    await azure.assignRole(scope(), reader, "someone", "a");
    await expect(azure.assignRole(scope(), reader, "someone", "b")).rejects.toThrow(/RoleAssignmentExists/);
    await azure.assignRole(azure.root, reader, "someone", "b");
  });

  test("an identity that is created again has another principal, and its old assignments stay", async () => {
    const before = await azure.putIdentity(group, "id-app");
    expect(await azure.putIdentity(group, "id-app")).toEqual(before);
    await azure.assignRole(azure.root, reader, before.principalId, "a");
    await azure.removeGroup(group);
    await azure.putGroup(group);
    const after = await azure.putIdentity(group, "id-app");
    expect(after.principalId).not.toBe(before.principalId);
    await expect(azure.assignRole(azure.root, reader, after.principalId, "a")).rejects.toThrow(
      /RoleAssignmentUpdateNotPermitted/,
    );
  });
});

describe("a cluster's PUT or DELETE", () => {
  const cluster = (identity: string, properties: object) =>
    azure.put(path("Microsoft.ContainerService/managedClusters/aks"), properties, {
      identity: { type: "UserAssigned", userAssignedIdentities: { [identity]: {} } },
    });

  test("needs the identity's role on a private DNS zone in effect", async () => {
    const zone = path("Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io");
    await azure.put(zone, {});
    const { id, principalId } = await azure.putIdentity(group, "id-cluster");
    const create = () => cluster(id, { apiServerAccessProfile: { privateDNSZone: zone } });
    await azure.assignRole(zone, zoneContributor, principalId);
    await expect(create()).rejects.toThrow(/CustomPrivateDNSZoneMissingPermissionError/);
    azure.clock.now += 60;
    await create();
  });

  test("writes a record and a link into a private DNS zone; its DELETE removes both, and needs the role", async () => {
    const zone = path("Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io");
    const network = path("Microsoft.Network/virtualNetworks/vnet");
    await azure.put(zone, {});
    const { id, principalId } = await azure.putIdentity(group, "id-cluster");
    const assignment = textAt(await azure.assignRole(zone, zoneContributor, principalId), "id");
    azure.clock.now += 60;
    const create = () =>
      cluster(id, {
        apiServerAccessProfile: { privateDNSZone: zone },
        agentPoolProfiles: [{ name: "pool", count: 1, vnetSubnetID: `${network}/subnets/nodes` }],
      });
    const inZone = () =>
      azure.store.list(zone).flatMap(({ name, type }) => (type.endsWith("roleAssignments") ? [] : name));
    await create();
    expect(inZone()).toEqual(["aks", "aks"]);
    await azure.send("DELETE", path("Microsoft.ContainerService/managedClusters/aks"));
    expect(inZone()).toEqual([]);
    await azure.put(`${zone}/virtualNetworkLinks/mine`, { virtualNetwork: { id: network } });
    await create();
    expect(inZone().sort()).toEqual(["aks", "mine"]);
    await azure.send("DELETE", assignment);
    await expect(azure.send("DELETE", path("Microsoft.ContainerService/managedClusters/aks"))).rejects.toThrow(
      /privateDNSVNetLinkReconciler retry failed/,
    );
    expect(inZone().sort()).toEqual(["aks", "mine"]);
  });

  test("needs the identity's role on a kubelet identity in effect", async () => {
    const { id, principalId } = await azure.putIdentity(group, "id-cluster");
    const kubelet = await azure.putIdentity(group, "id-kubelet");
    const create = () => cluster(id, { identityProfile: { kubeletidentity: { resourceId: kubelet.id } } });
    await azure.assignRole(kubelet.id, identityOperator, principalId);
    await expect(create()).rejects.toThrow(/CustomKubeletIdentityMissingPermissionError/);
    azure.clock.now += 60;
    await create();
  });

  test("adds a kubelet identity, and keeps it at the next PUT", async () => {
    const { id } = await azure.putIdentity(group, "id-cluster");
    const kubelet = (created: object) => textAt(created, "properties.identityProfile.kubeletidentity.objectId");
    expect(kubelet(await cluster(id, {}))).toBe(kubelet(await cluster(id, {})));
  });
});

describe("a pool of a cluster", () => {
  const put = (...pools: object[]) =>
    azure.put(path("Microsoft.ContainerService/managedClusters/aks"), { agentPoolProfiles: pools });
  const pool = { name: "user", enableAutoScaling: true, minCount: 2, maxCount: 5 };

  test("needs a count of at least minCount nodes when it is new, also in a cluster that exists", async () => {
    const missing = /Required parameter agentPoolProfile.count is missing/;
    await expect(put(pool)).rejects.toThrow(missing);
    await expect(put({ ...pool, count: 1 })).rejects.toThrow(/count was 1. It must be greater or equal to minCount:2/);
    await put({ ...pool, count: 2 });
    await expect(put(pool, { ...pool, name: "more" })).rejects.toThrow(missing);
  });

  test("keeps its nodes at a PUT without a count, and gets those of a count", async () => {
    const counts = (cluster: object) =>
      listAt(cluster, "properties.agentPoolProfiles").map((each) => at(each, "count"));
    await put({ ...pool, count: 3 });
    expect(counts(await put(pool))).toEqual([3]);
    expect(counts(await put({ ...pool, count: 2 }))).toEqual([2]);
  });
});

describe("a deleted vault", () => {
  const vault = () => path("Microsoft.KeyVault/vaults/kv");
  const deleted = () => `${azure.root}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/kv`;
  const settings = { enablePurgeProtection: true, softDeleteRetentionInDays: 7 };
  const conflict = /ConflictError: A vault with the same name already exists in deleted state/;

  /** Creates a vault with a secret and deletes its resource group. */
  async function deleteVault(properties: object): Promise<void> {
    await azure.put(vault(), properties);
    await azure.put(`${vault()}/secrets/demosecret`, { value: "value" });
    await azure.removeGroup(group);
    await azure.putGroup(group);
  }

  test("keeps its name until the end of its retention", async () => {
    await deleteVault(settings);
    await expect(azure.put(vault(), {})).rejects.toThrow(conflict);
    azure.clock.now += 7 * 86_400;
    await azure.put(vault(), {});
  });

  test("cannot be purged with purge protection", async () => {
    await deleteVault(settings);
    await expect(azure.send("POST", `${deleted()}/purge`)).rejects.toThrow(
      /MethodNotAllowed: Operation 'DeletedVaultPurge' is not allowed/,
    );
    await expect(azure.put(vault(), {})).rejects.toThrow(conflict);
  });

  test("can be purged without purge protection, and frees its name", async () => {
    await deleteVault({});
    await azure.send("POST", `${deleted()}/purge`);
    await azure.put(vault(), {});
  });

  test("is recovered with its settings and secrets", async () => {
    await deleteVault(settings);
    const recovered = await azure.put(vault(), { createMode: "recover" });
    expect(recovered.properties).toMatchObject(settings);
    expect(azure.store.find(`${vault()}/secrets/demosecret`)).toBeDefined();
  });
});

describe("a build in the registry", () => {
  const build = async (simulated: SimulatedAzure, properties: object = {}) => {
    const registry = `${simulated.root}/resourceGroups/${group}/providers/Microsoft.ContainerRegistry/registries/cr`;
    await simulated.putGroup(group);
    await simulated.put(registry, properties);
    return simulated.send("POST", `${registry}/scheduleRun`, { type: "DockerBuildRequest", imageNames: ["app:v1"] });
  };

  test("starts a run of ACR Tasks", async () => {
    expect(await build(simulateAzure())).toMatchObject({ properties: { status: "Queued" } });
  });

  test("runs, and fails, when the registry has no public access", async () => {
    const run = await build(azure, { publicNetworkAccess: "Disabled" });
    const log = await azure.send("POST", `${textAt(run, "id")}/listLogSasUrl`);
    expect(textAt(log, "logLink")).toMatch(/denied\.log$/);
  });

  test("is rejected in a subscription without ACR Tasks, such as a free trial", async () => {
    await expect(build(simulateAzure({ hasTasks: false }))).rejects.toThrow(
      /TasksOperationsNotAllowed: ACR Tasks requests for the registry cr and .* are not permitted/,
    );
  });
});

describe("an import into the registry", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const importFrom = async (sourceImage: string) => {
    await azure.putGroup(group);
    await azure.put(path("Microsoft.ContainerRegistry/registries/cr"), {});
    const source = { registryUri: "registry.example", sourceImage };
    return azure.send("POST", `${path("Microsoft.ContainerRegistry/registries/cr")}/importImage`, {
      source,
      targetTags: ["node:base"],
    });
  };

  test.for(["library/node", "library/node:26", `library/node@${digest}`])("accepts the source %s", async (image) => {
    await importFrom(image);
  });

  test("rejects a source with both a tag and a digest", async () => {
    await expect(importFrom(`library/node:26@${digest}`)).rejects.toThrow(
      /BadRequest: Invalid value library\/node:26@sha256:0+ for property parameters.Source.SourceImage/,
    );
  });
});

describe("a deleted workspace", () => {
  const workspace = () => path("Microsoft.OperationalInsights/workspaces/log");
  const create = (location: string) => azure.put(workspace(), {}, { location });
  beforeEach(async () => {
    await create("westeurope");
    await azure.removeGroup(group);
    await azure.putGroup(group);
  });

  test("keeps its name for 14 days in other regions", async () => {
    await expect(create("northeurope")).rejects.toThrow(/Conflict: The workspace name 'log' is not unique/);
    azure.clock.now += 14 * 86_400;
    await create("northeurope");
  });

  test("is recovered by a workspace of its name in its region", async () => {
    const { properties } = await create("westeurope");
    await azure.send("DELETE", workspace());
    expect((await create("westeurope")).properties).toEqual(properties);
  });
});

describe("private endpoints in one subnet", () => {
  const endpoint = (name: string, subnet: string) => ({
    type: "Microsoft.Network/privateEndpoints",
    name,
    properties: { subnet: { id: `/subnets/${subnet}` } },
  });
  const deploy = (resources: object) =>
    azure.deploy(
      "endpoints",
      JSON.stringify({ templateJson: JSON.stringify({ resources }), parametersJson: "{}" }),
      group,
    );

  test("are rejected while another one updates the subnet", async () => {
    const resources = { a: endpoint("a", "one"), b: endpoint("b", "one") };
    await expect(deploy(resources)).rejects.toThrow(/ReferencedResourceNotProvisioned.*subnets\/one.*Updating state/);
  });

  test("are created one after the other, and at the same time in different subnets", async () => {
    await deploy({
      a: endpoint("a", "one"),
      b: { ...endpoint("b", "one"), dependsOn: ["a"] },
      c: endpoint("c", "two"),
    });
    expect(azure.list("Microsoft.Network/privateEndpoints")).toHaveLength(3);
  });
});

describe("a lock", () => {
  const lock = () => path("Microsoft.Authorization/locks/no-delete");
  const locked = /ScopeLocked: The scope '.*' cannot perform delete operation because .* locked: '.*\/rg-rules'/;
  beforeEach(() => azure.put(lock(), { level: "CanNotDelete" }));

  test("protects its group and the resources of the group from deletion, until it is deleted", async () => {
    const { id } = await azure.putIdentity(group, "id-app");
    await expect(azure.removeGroup(group)).rejects.toThrow(locked);
    await expect(azure.send("DELETE", id)).rejects.toThrow(locked);
    await azure.send("DELETE", lock());
    await azure.send("DELETE", id);
    await azure.removeGroup(group);
    expect(azure.store.list(azure.root, "Microsoft.ManagedIdentity/userAssignedIdentities")).toEqual([]);
  });

  test("does not protect another group", async () => {
    await azure.putGroup("rg-rules-2");
    await azure.removeGroup("rg-rules-2");
  });
});
