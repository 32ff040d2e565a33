// Resource groups: https://learn.microsoft.com/rest/api/resources/resource-groups
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import type { Subscription } from "../../../stand-ins/azure/resource-manager.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { readBody } from "./body.ts";
import { ArmFault, methodNotSupported } from "./faults.ts";
import type { Json } from "./json.ts";
import { checkLocks } from "./locks.ts";
import type { Operations } from "./operations.ts";
import type { Store } from "./store.ts";

export function onGroup(
  request: AzureRequest,
  id: string,
  name: string,
  subscription: Subscription,
  { store, operations }: { store: Store; operations: Operations },
): AzureResponse {
  const { method, url } = request;
  if (method === "PUT") {
    const exists = findGroup(subscription, name) !== undefined;
    const body = readBody(request);
    const { location } = putGroup(subscription, name, body);
    store.put(id, body);
    return { ...ok(describeGroup(id, name, location)), status: exists ? 200 : 201 };
  }
  const group = requireGroup(subscription, name);
  switch (method) {
    case "GET":
      return ok(describeGroup(id, name, group.location));
    case "HEAD":
      return { status: 204, body: undefined };
    case "DELETE":
      checkLocks(id, store);
      subscription.groups = subscription.groups.filter((other) => other !== group);
      store.remove(id);
      return operations.accept(url);
    default:
      throw methodNotSupported(method);
  }
}

/** @throws ArmFault 404 */
export function requireGroup(subscription: Subscription, name: string) {
  const group = findGroup(subscription, name);
  if (!group) throw new ArmFault(404, "ResourceGroupNotFound", `Resource group '${name}' could not be found.`);
  return group;
}

export function putGroup(subscription: Subscription, name: string, { location, tags }: Json) {
  const group = { name, location: String(location), tags: (tags ?? {}) as Record<string, string> };
  const others = subscription.groups.filter((other) => other.name.toLowerCase() !== name.toLowerCase());
  subscription.groups = [...others, group];
  return group;
}

function findGroup({ groups }: Subscription, name: string) {
  return groups.find((group) => group.name.toLowerCase() === name.toLowerCase());
}

function describeGroup(id: string, name: string, location: string | undefined) {
  return {
    id,
    name,
    type: "Microsoft.Resources/resourceGroups",
    location,
    properties: { provisioningState: "Succeeded" },
  };
}
