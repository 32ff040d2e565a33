// The preflight of a deployment: Azure checks all resources before it creates the first one. It does not read
// resources, so an expression that needs one stays a string. It leaves out a module with such an expression among its
// parameters: https://github.com/Azure/bicep/issues/7836, https://github.com/microsoft/azure-container-apps/issues/391
import { createContext, type Deployment } from "./context.ts";
import { ArmFault } from "./faults.ts";
import type { Json } from "./json.ts";
import { checkNames, placeOf } from "./names.ts";
import type { Store } from "./store.ts";

/** Properties of Microsoft.App that are lists of objects. */
const lists = new Set([
  "containers",
  "customDomains",
  "env",
  "identitySettings",
  "ipSecurityRestrictions",
  "metadata",
  "probes",
  "registries",
  "rules",
  "secrets",
  "traffic",
  "volumeMounts",
  "volumes",
]);

/** @throws ArmFault when a resource provider would reject a resource */
export function preflight(deployment: Deployment, tenantId: string, store: Store): void {
  const context = createContext(deployment, tenantId, (id) => {
    const [container] = /^\/subscriptions\/[^/]+(\/resourceGroups\/[^/]+)?$/i.exec(id) ?? [];
    if (!container) throw new RunTimeValue();
    return store.find(container);
  });

  /** Evaluates a value, except for the expressions in it that need a resource. */
  function evaluate(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(evaluate);
    try {
      return context.resolve(value);
    } catch (error) {
      if (!(error instanceof RunTimeValue)) throw error;
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, evaluate(inner)]));
    }
  }

  for (const resource of Object.values((deployment.template.resources ?? {}) as Record<string, Json>)) {
    const { type, condition = true, existing, copy, properties } = resource;
    if (!copy) checkNames(evaluate(placeOf(resource)) as Json);
    if (existing || copy || evaluate(condition) === false) continue;
    if (/^Microsoft\.Resources\/deployments$/i.test(String(type))) {
      const { template, parameters = {} } = properties as { template: Json; parameters?: Json };
      const given = tryEvaluate(parameters);
      const id = context.locate({ ...resource, type, name: evaluate(resource.name) });
      if (given) preflight({ id, location: deployment.location, template, parameters: given }, tenantId, store);
    } else if (/^Microsoft\.App\//i.test(String(type))) {
      checkSchema(evaluate(properties));
    }
  }

  function tryEvaluate(parameters: Json): Json | undefined {
    try {
      return context.resolve(parameters) as Json;
    } catch (error) {
      if (error instanceof RunTimeValue) return undefined;
      throw error;
    }
  }
}

/** Marks an expression that only a resource can answer. */
class RunTimeValue extends Error {}

function checkSchema(value: unknown, name = ""): void {
  if (typeof value === "string" && lists.has(name)) {
    throw new ArmFault(
      400,
      "InvalidTemplateDeployment",
      `ContainerAppInvalidSchema: Invalid request body for container app. Does not conform to Container App schema (${name}: ${value})`,
    );
  }
  if (Array.isArray(value)) for (const item of value) checkSchema(item, name);
  else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) checkSchema(inner, key);
  }
}
