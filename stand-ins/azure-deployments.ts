// Deployments of templates. Only the real compiler can tell what a template makes; who starts the stand-in asks it.
// https://learn.microsoft.com/rest/api/resources/deployments
import type { Answer, Request } from "./azure-http.ts";
import { ok, refusal } from "./azure-resource-manager.ts";
import type { Json, Store } from "./azure-resource-store.ts";

/** What a template makes with these parameters. */
export type Deploy = (template: Json, parameters: Json) => Plan;

export interface Plan {
  /** Resource groups first. */
  readonly resources: readonly (Json & { readonly id: string })[];
  readonly outputs: Json;
}

/** @param make Makes a resource or a resource group. */
export function onDeployment(
  { method }: Request,
  path: string,
  body: Json,
  store: Store,
  deploy: Deploy,
  make: (id: string, body: Json) => void,
): Answer | undefined {
  const [, id, action] = /^(.+\/providers\/Microsoft\.Resources\/deployments\/[^/]+)(?:\/(.+))?$/i.exec(path) ?? [];
  if (!id) return undefined;
  const { template, parameters, mode } = (body.properties ?? {}) as {
    template?: Json;
    parameters?: Json;
    mode?: string;
  };
  if (method === "PUT" || (method === "POST" && action === "validate")) {
    if (!template) return refusal(400, "InvalidRequestContent", "The request has no template.");
    const { resources, outputs } = deploy(template, parameters ?? {});
    const properties = { mode, outputs, provisioningState: "Succeeded" };
    if (action) return ok({ id, properties });
    for (const resource of resources) make(resource.id, resource);
    return { ...ok(store.put(id, { properties })), status: 201 };
  }
  return method === "GET" && action === "operations" ? ok({ value: [] }) : undefined;
}
