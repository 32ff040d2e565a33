// Deployments of templates. The caller passes a function that evaluates a template: only the Bicep compiler can do it.
// https://learn.microsoft.com/rest/api/resources/deployments
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { armError, ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import type { Json } from "./json.ts";
import type { Store } from "./store.ts";

/** Returns what a template creates with these parameters. */
export type Deploy = (template: Json, parameters: Json) => Promise<Plan>;

interface Plan {
  /** In order of creation. */
  readonly resources: readonly { readonly id: string }[];
  readonly outputs: Readonly<Record<string, string>>;
}

/**
 * @param create Creates a resource or a resource group.
 * @returns undefined when the path is not a deployment's.
 */
export async function onDeployment(
  { method }: AzureRequest,
  path: string,
  body: Json,
  store: Store,
  deploy: Deploy,
  create: (id: string, body: Json) => void,
): Promise<AzureResponse | undefined> {
  const [, id, action] = /^(.+\/providers\/Microsoft\.Resources\/deployments\/[^/]+)(?:\/(.+))?$/i.exec(path) ?? [];
  if (!id) return undefined;
  const { template, parameters, mode } = (body.properties ?? {}) as {
    template?: Json;
    parameters?: Json;
    mode?: string;
  };
  if (method === "PUT" || (method === "POST" && action === "validate")) {
    if (!template) return armError(400, "InvalidRequestContent", "The request has no template.");
    const { resources, outputs } = await deploy(template, parameters ?? {});
    const values = Object.entries(outputs).map(([name, value]) => [name, { type: "String", value }]);
    const properties = { mode, outputs: Object.fromEntries(values), provisioningState: "Succeeded" };
    if (action) return ok({ id, properties });
    for (const resource of resources) create(resource.id, resolve(resource, store));
    return { ...ok(store.put(id, { properties })), status: 201 };
  }
  return method === "GET" && action === "operations" ? ok({ value: [] }) : undefined;
}

/** Replaces run-time references to properties of resources that exist already. */
function resolve(resource: object, store: Store): Json {
  const reference = /"\[reference\('([^']+)', '[^']+'\)\.(\w+)\]"/g;
  const resolved = JSON.stringify(resource).replaceAll(reference, (expression, id, name) => {
    const value = store.find(id)?.properties[name];
    return value === undefined ? expression : JSON.stringify(value);
  });
  return JSON.parse(resolved);
}
