// Simulates what Azure Resource Manager does below a subscription: it creates, changes, returns and deletes resource
// groups and resources, in the same way for all providers.
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import type { ResourceHandler, Subscription } from "../../../stand-ins/azure/resource-manager.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { readBody } from "./body.ts";
import { onContainerApp } from "./container-apps.ts";
import { type Deploy, onDeployment } from "./deployments.ts";
import { ArmFault } from "./faults.ts";
import { onCollection, onResource } from "./generic-resources.ts";
import { onGroup, putGroup, requireGroup } from "./groups.ts";
import type { Json } from "./json.ts";
import { createOperations } from "./operations.ts";
import { describeProvider, providers } from "./providers.ts";
import { createStore, type Store, typeOf } from "./store.ts";

export interface Resources extends ResourceHandler {
  readonly store: Store;
}

/** @param deploy Returns what a deployment creates; default: nothing. */
export function createResources(deploy: Deploy = async () => ({ resources: [], outputs: {} })): Resources {
  const store = createStore(providers);
  const operations = createOperations();
  return { store, handle };

  async function handle(request: AzureRequest, subscription: Subscription): Promise<AzureResponse> {
    try {
      return await route(request, subscription);
    } catch (error) {
      if (error instanceof ArmFault) return error.response;
      throw error;
    }
  }

  async function route(request: AzureRequest, subscription: Subscription): Promise<AzureResponse> {
    const path = decodeURIComponent(request.url.pathname).replace(/\/$/, "");
    const [, below = ""] = /^\/subscriptions\/[^/]+(.*)$/i.exec(path) ?? [];
    const [, operation] = /^\/operations\/(.+)$/.exec(below) ?? [];
    if (operation) return operations.poll(path, operation);
    const [, namespace] = /^\/providers\/([^/]+)(?:\/register)?$/i.exec(below) ?? [];
    if (namespace) return ok(describeProvider(path, namespace));
    const [, group, inGroup] = /^\/resourcegroups\/([^/]+)(\/.+)?$/i.exec(below) ?? [];
    if (group && !inGroup) return onGroup(request, path, group, subscription, { store, operations });
    if (group) requireGroup(subscription, group);
    const body = readBody(request);
    return (
      (await onDeployment(request, path, body, store, deploy, (id, created) => create(id, created, subscription))) ??
      onContainerApp(request, path, store) ??
      (typeOf(path) ? onResource(request, path, body, { store, operations }) : onCollection(request, path, store))
    );
  }

  function create(id: string, body: Json, subscription: Subscription): void {
    const [, group] = /^\/subscriptions\/[^/]+\/resourceGroups\/([^/]+)$/i.exec(id) ?? [];
    if (group) putGroup(subscription, group, body);
    else store.put(id, body);
  }
}
