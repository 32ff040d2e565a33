// Applies the rules of PSRule for Azure to the plans of all parameter files that users get, and lists the rules that do
// not hold with their reasons.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { at, objectAt } from "../support/at.ts";
import { findBicepOrSkip, type Plan, type Resource, startBicep } from "../support/bicep.ts";
import { makePlans, type Plans, shipped } from "../support/plans.ts";
import { root } from "../support/processes.ts";
import { rules } from "./psrule-rules.ts";

interface Exception {
  readonly reason: string;
  /** Parameter files for which the rule holds. */
  readonly holdsIn?: readonly string[];
}

const exceptions: Readonly<Record<string, Exception>> = {
  "Azure.ContainerApp.MinReplicas": { reason: "Two replicas of each app cost twice as much; set scale.min." },
  "Azure.ContainerApp.RestrictIngress": {
    reason:
      "welcome-sign-in lets every address call, and each caller signs in. state-api and group-lister have no ingress from outside the environment.",
    holdsIn: ["welcome"],
  },
  "Azure.ContainerApp.Storage": {
    reason: "The volume of welcome is a secret, not a store.",
    holdsIn: ["state-api", "group-lister"],
  },
  "Azure.ContainerApp.PublicAccess": {
    reason: "MY_ADDRESS is a public address; hosting.network.private makes the environment private.",
    holdsIn: ["containerapps-private"],
  },
  "Azure.ContainerApp.AvailabilityZone": {
    reason: "Zone redundancy needs a virtual network.",
    holdsIn: ["zone-redundant"],
  },
  "Azure.ACR.MinSku": {
    reason: "Basic has the functions of Standard with less storage, for a quarter of the price.",
    holdsIn: ["containerapps-private-endpoints", "aks-private-endpoints"],
  },
  "Azure.ACR.Firewall": {
    reason: "Private connections need the Premium tier.",
    holdsIn: ["containerapps-private-endpoints", "aks-private-endpoints"],
  },
  "Azure.ACR.Logs": { reason: "without-audit-logs exists to have none.", holdsIn: ["containerapps", "aks"] },
  "Azure.KeyVault.SoftDelete": { reason: "Azure turns it on for every vault, and it cannot be turned off." },
  "Azure.KeyVault.Firewall": {
    reason:
      "Container Apps without a virtual network have no fixed address to allow, and may not reach the vault through a " +
      "service endpoint. An existing network may have none.",
    holdsIn: [
      "aks",
      "aks-operations",
      "aks-private-custom-dns",
      "aks-private-endpoints",
      "containerapps-private-endpoints",
    ],
  },
  "Azure.KeyVault.Logs": { reason: "without-audit-logs exists to have none.", holdsIn: ["containerapps", "aks"] },
  "Azure.Cosmos.DisableLocalAuth": {
    reason: "containerapps-keyed exists to use a key.",
    holdsIn: ["containerapps", "aks"],
  },
  "Azure.Cosmos.PublicAccess": {
    reason: "Private endpoints are billed by the hour. Keys are off; a created network closes the firewall.",
    holdsIn: ["containerapps-private-endpoints", "aks-private-endpoints"],
  },
  "Azure.Cosmos.ContinuousBackup": { reason: "Periodic backup is free, and its two copies are enough for samples." },
  "Azure.Cosmos.AvailabilityZone": {
    reason: "Zones cost more and are not available in every region.",
    holdsIn: ["zone-redundant"],
  },
  "Azure.AKS.UptimeSLA": {
    reason: "The Free tier of the control plane is enough for samples.",
    holdsIn: ["aks-operations"],
  },
  "Azure.AKS.AuthorizedIPs": {
    reason: "A private API server cannot have them. With MY_ADDRESS, a public one has.",
    holdsIn: ["aks", "aks-operations", "aks-existing-network", "aks-private-endpoints"],
  },
  "Azure.AKS.StandardLB": { reason: "Standard is the default; Basic was retired." },
  "Azure.AKS.ContainerInsights": { reason: "Container insights is billed by volume.", holdsIn: ["aks-operations"] },
  "Azure.AKS.DefenderProfile": { reason: "Microsoft Defender is a paid plan of the whole subscription." },
  "Azure.AKS.MaintenanceWindow": {
    reason: "Without one, AKS upgrades whenever a version is ready.",
    holdsIn: ["aks-operations"],
  },
  "Azure.AKS.PlatformLogs": { reason: "These logs are large and billed by volume; audit logs are collected." },
  "Azure.AKS.MinNodeCount": {
    reason: "One node of each pool costs less; systemPool.min sets the number.",
    holdsIn: ["aks-operations"],
  },
  "Azure.AKS.MinUserPoolNodes": {
    reason: "One node of each pool costs less; userPool.min sets the number.",
    holdsIn: ["aks-operations"],
  },
  "Azure.AKS.PoolScaleSet": { reason: "VirtualMachineScaleSets is the default type of a pool." },
  "Azure.AKS.NodeMinPods": { reason: "The default of Azure CNI overlay is 250 pods for each node." },
  "Azure.Log.Replication": { reason: "Replication to a second region costs the ingestion again." },
  "Azure.AppInsights.LocalAuth": {
    reason: "The OpenTelemetry agent of Container Apps sends with the connection string and cannot use an identity.",
  },
  "Azure.VNET.UseNSGs": { reason: "AKS puts a network security group of its own on the nodes." },
  "Azure.VNET.PrivateSubnet": { reason: "Nodes use the outbound address of the load balancer instead." },
  "Azure.Policy.AssignmentDescriptors": { reason: "The display name is that of the policy, which has a description." },
  "Azure.Policy.AssignmentAssignedBy": { reason: "Informational; the activity log has the caller." },
};

const path = await findBicepOrSkip();

describe.skipIf(!path)("PSRule for Azure", { timeout: 120_000 }, () => {
  let plans: Plans;
  let outcomes: Outcome[];
  beforeAll(async () => {
    plans = await makePlans(path ?? "", shipped);
    outcomes = plans.names.flatMap((plan) => judge(plan, plans.of(plan)));
  }, 120_000);
  const of = (rule: string) => outcomes.filter((outcome) => outcome.rule === rule);

  test.each(Object.keys(rules).filter((rule) => !exceptions[rule]))("%s holds in every plan", (rule) => {
    expect(of(rule)).not.toEqual([]);
    expect(of(rule).filter(({ holds }) => !holds)).toEqual([]);
  });

  test.each(Object.entries(exceptions))("%s has an exception that is needed", (rule, { holdsIn = [] }) => {
    expect(of(rule).some(({ holds }) => !holds)).toBe(true);
    for (const plan of holdsIn) {
      const found = of(rule).filter((outcome) => outcome.plan === plan);
      expect(found, plan).not.toEqual([]);
      expect(
        found.filter(({ holds }) => !holds),
        plan,
      ).toEqual([]);
    }
  });

  test.each(Object.entries(rules))("%s fails when the property that it reads changes", (name, rule) => {
    for (const { resource } of of(name).filter(({ holds }) => holds)) {
      expect(rule.holds(at(replace(resource, rule.path, rule.bad), rule.path))).toBe(false);
    }
  });
});

// https://azure.github.io/PSRule.Rules.Azure/en/rules/Azure.Deployment.SecureParameter/
describe.skipIf(!path)("Azure.Deployment.SecureParameter", () => {
  const files = ["main.bicep", ...readdirSync(join(root, "infra/bicep/apps")).map((name) => `apps/${name}`)];

  test.each(files)(
    "parameters of %s and its modules are secure if named like a secret, except those without a secret value",
    async (file) => {
      const bicep = startBicep(path ?? "");
      const { contents } = await bicep.compile(`infra/bicep/${file}`);
      bicep.close();
      const named = parametersOf(JSON.parse(contents)).filter(([name]) => /password|secret|token|keys?$/i.test(name));
      const plain = named.filter(([, parameter]) => !isSecure(parameter)).map(([name]) => name);
      // The parameter secret of an app has the URL of a secret and its folder.
      expect(plain).toEqual(file === "main.bicep" ? [] : ["secret"]);
      if (file === "main.bicep") expect(named.map(([name]) => name)).toContain("demoSecret");
    },
  );
});

function isSecure(parameter: unknown): boolean {
  return ["securestring", "secureobject"].includes(String(at(parameter, "type")).toLowerCase());
}

/** The parameters of a template and of the templates inside it. */
function parametersOf(template: unknown): [string, unknown][] {
  const inside = Object.values(objectAt(template, "resources")).flatMap((resource) => {
    const isModule = at(resource, "type") === "Microsoft.Resources/deployments";
    return isModule ? parametersOf(at(resource, "properties.template")) : [];
  });
  return [...Object.entries(at(template, "parameters") ?? {}), ...inside];
}

interface Outcome {
  readonly plan: string;
  readonly rule: string;
  readonly resource: object;
  readonly holds: boolean;
}

function judge(name: string, plan: Plan): Outcome[] {
  return Object.entries(rules).flatMap(([rule, { type, path, holds }]) =>
    plan.resources
      .filter((resource) => resource.type === type)
      .map((resource) => withChildren(resource, plan))
      .map((resource) => ({ plan: name, rule, resource, holds: holds(at(resource, path)) })),
  );
}

/** Adds the resources below a resource: `children` and, for a virtual network, `subnets`. */
function withChildren(resource: Resource, { resources }: Plan): object {
  const id = resource.id.replace(/^\[(.*)\]$/, "$1");
  const children = resources.filter((other) => other !== resource && other.id.includes(id));
  const inside = at(resource, "properties.subnets") ?? [];
  const subnets = children.filter(({ type }) => type.endsWith("/subnets")).concat(Array.isArray(inside) ? inside : []);
  return { ...resource, children, subnets };
}

function replace(value: unknown, path: string, leaf: unknown): unknown {
  const [key = "", ...rest] = path.split(".");
  const inner = typeof value === "object" ? value : {};
  return { ...inner, [key]: rest.length > 0 ? replace(at(value, key), rest.join("."), leaf) : leaf };
}
