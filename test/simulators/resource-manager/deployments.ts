// Deployments of templates. Only the real compiler can tell what a template makes; who starts the stand-in asks it.
// https://learn.microsoft.com/rest/api/resources/deployments
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { armError, ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import type { Json, Store } from "./store.ts";

/** What a template makes with these parameters. */
export type Deploy = (template: Json, parameters: Json) => Promise<Plan>;

export interface Plan {
  /** In the order they are made in. */
  readonly resources: readonly { readonly id: string }[];
  readonly outputs: Readonly<Record<string, string>>;
}

/** @param make Makes a resource or a resource group. */
export async function onDeployment(
  { method }: AzureRequest,
  path: string,
  body: Json,
  store: Store,
  deploy: Deploy,
  make: (id: string, body: Json) => void,
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
    for (const resource of resources) make(resource.id, resolve(resource, store));
    return { ...ok(store.put(id, { properties })), status: 201 };
  }
  return method === "GET" && action === "operations" ? ok({ value: [] }) : undefined;
}

/** What a template leaves to run time, one resource reads of another that was made before. */
function resolve(resource: object, store: Store): Json {
  const reference = /"\[reference\('([^']+)', '[^']+'\)\.(\w+)\]"/g;
  const resolved = JSON.stringify(resource).replaceAll(reference, (expression, id, name) => {
    const value = store.find(id)?.properties[name];
    return value === undefined ? expression : JSON.stringify(value);
  });
  return JSON.parse(resolved);
}

/** JSON, but for the key `template`, which `az` writes without quotes in its deployments. */
export function parseBody(text: string): Json {
  return JSON.parse(text.replace(/([{,]\s*)template:/, '$1"template":') || "{}");
}
