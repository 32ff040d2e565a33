// Resource groups and resources in Azure Resource Manager: made, changed, read and deleted alike for all providers.
// https://learn.microsoft.com/rest/api/resources/resources
import { randomUUID } from "node:crypto";
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import type { ResourceHandler, Subscription } from "../../../stand-ins/azure/resource-manager.ts";
import { armError, ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { hideSecrets, onContainerApp } from "./container-apps.ts";
import { type Deploy, onDeployment, parseBody } from "./deployments.ts";
import { providers, roles } from "./providers.ts";
import { createStore, type Json, parentOf, Refusal, type Store, typeOf } from "./store.ts";

export interface Resources extends ResourceHandler {
  readonly store: Store;
}

/** @param deploy What a deployment makes; default: nothing. */
export function createResources(deploy: Deploy = async () => ({ resources: [], outputs: {} })): Resources {
  const store = createStore(providers);
  /** Ids of operations that are under way: who asks for one finds it so once, and then through. */
  const operations = new Set<string>();
  return { store, handle };

  async function handle(request: AzureRequest, subscription: Subscription): Promise<AzureResponse> {
    try {
      return await route(request, subscription);
    } catch (error) {
      if (error instanceof Refusal) return error.response;
      throw error;
    }
  }

  async function route(request: AzureRequest, subscription: Subscription): Promise<AzureResponse> {
    const path = decodeURIComponent(request.url.pathname).replace(/\/$/, "");
    const [, below = ""] = /^\/subscriptions\/[^/]+(.*)$/i.exec(path) ?? [];
    const [, operation] = /^\/operations\/(.+)$/.exec(below) ?? [];
    if (operation) {
      const status = operations.delete(operation) ? "InProgress" : "Succeeded";
      return { ...ok({ id: path, status }), headers: { "x-ms-retry-after-ms": "1" } };
    }
    const [, namespace] = /^\/providers\/([^/]+)(?:\/register)?$/i.exec(below) ?? [];
    if (namespace) return ok(describeProvider(path, namespace));
    const [, group, inGroup] = /^\/resourcegroups\/([^/]+)(\/.+)?$/i.exec(below) ?? [];
    if (group && !inGroup) return onGroup(request, path, group, subscription);
    if (group && !findGroup(subscription, group)) return noGroup(group);
    const body = readBody(request);
    return (
      (await onDeployment(request, path, body, store, deploy, (id, made) => make(id, made, subscription))) ??
      onContainerApp(request, path, store) ??
      (typeOf(path) ? onResource(request, path, body) : onCollection(request, path))
    );
  }

  function make(id: string, body: Json, subscription: Subscription): void {
    const [, group] = /^\/subscriptions\/[^/]+\/resourceGroups\/([^/]+)$/i.exec(id) ?? [];
    if (group) putGroup(subscription, group, body);
    else store.put(id, body);
  }

  function onResource({ method, url }: AzureRequest, path: string, body: Json): AzureResponse {
    const old = store.find(path);
    const type = typeOf(path);
    // These take their time. All else is there and gone at once; Cosmos DB must not even say 201.
    const isSlow = /^Microsoft\.(App\/(containerApps|managedEnvironments)|Resources\/deployments)$/i.test(type);
    if (method === "DELETE") {
      if (!store.remove(path)) return nothing;
      return isSlow ? accept(url) : ok(old);
    }
    if (method === "PUT") {
      const parent = parentOf(path);
      if (parent && !store.find(parent)) {
        const message = `Failed to perform 'write' on resource(s) of type '${type}', because the parent resource '${parent}' could not be found.`;
        return armError(404, "ParentResourceNotFound", message);
      }
      const made = hideSecrets(store.put(path, withoutNulls(body) as Json));
      return isSlow ? { ...ok(made), status: old ? 200 : 201, headers: follow(url) } : ok(made);
    }
    if (!old) {
      const message = `The Resource '${type}/${path.slice(path.lastIndexOf("/") + 1)}' was not found.`;
      return armError(404, "ResourceNotFound", message);
    }
    if (method === "GET") return ok(hideSecrets(old));
    if (method === "HEAD") return nothing;
    if (method !== "PATCH") return notAllowed(method);
    store.put(path, withoutNulls(merge(old, body)) as Json);
    return accept(url, url);
  }

  function onCollection({ method, url }: AzureRequest, path: string): AzureResponse {
    if (method !== "GET") return notAllowed(method);
    const filter = url.searchParams.get("$filter") ?? "";
    const [, wanted = ""] = /^(?:resourceType|roleName) eq '(.+)'$/.exec(filter) ?? [];
    const scope = path.replace(/(\/providers\/[^/]+)?\/[^/]+$/i, "");
    const type = path === `${scope}/resources` ? wanted : typeOf(`${path}/any`);
    if (/\/roleDefinitions$/i.test(type)) return ok({ value: describeRole(scope, wanted) });
    if (!type) return armError(404, "InvalidResourceType", "The resource type could not be found.");
    return ok({ value: store.list(scope, type).map(hideSecrets) });
  }

  function onGroup(request: AzureRequest, id: string, name: string, subscription: Subscription): AzureResponse {
    const { method, url } = request;
    const group = findGroup(subscription, name);
    if (method === "PUT") {
      const { location } = putGroup(subscription, name, readBody(request));
      return { ...ok(describeGroup(id, name, location)), status: group ? 200 : 201 };
    }
    if (!group) return noGroup(name);
    if (method === "GET") return ok(describeGroup(id, name, group.location));
    if (method === "HEAD") return nothing;
    if (method !== "DELETE") return notAllowed(method);
    subscription.groups = subscription.groups.filter((other) => other !== group);
    store.remove(id);
    return accept(url);
  }

  /** @param result Where the outcome is in the end, when there is one. */
  function accept(url: URL, result?: URL): AzureResponse {
    const headers = follow(url);
    const location = result?.href ?? headers["Azure-AsyncOperation"];
    return { status: 202, body: undefined, headers: { ...headers, Location: location } };
  }

  /** Where the client learns how its operation goes. */
  function follow({ origin, pathname, search }: URL) {
    const id = randomUUID();
    operations.add(id);
    const [subscription] = /^\/subscriptions\/[^/]+/i.exec(pathname) ?? [];
    return { "Azure-AsyncOperation": `${origin}${subscription}/operations/${id}${search}`, "x-ms-retry-after-ms": "1" };
  }
}

const nothing: AzureResponse = { status: 204, body: undefined };

function findGroup({ groups }: Subscription, name: string) {
  return groups.find((group) => group.name.toLowerCase() === name.toLowerCase());
}

function putGroup(subscription: Subscription, name: string, { location, tags }: Json) {
  const group = { name, location: String(location), tags: (tags ?? {}) as Record<string, string> };
  const others = subscription.groups.filter((other) => other.name.toLowerCase() !== name.toLowerCase());
  subscription.groups = [...others, group];
  return group;
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

function noGroup(name: string): AzureResponse {
  return armError(404, "ResourceGroupNotFound", `Resource group '${name}' could not be found.`);
}

function notAllowed(method: string): AzureResponse {
  return armError(405, "HttpMethodNotSupported", `The http method '${method}' is not supported here.`);
}

function describeRole(scope: string, roleName: string) {
  const name = roles[roleName];
  const type = "Microsoft.Authorization/roleDefinitions";
  return name ? [{ id: `${scope}/providers/${type}/${name}`, name, type, properties: { roleName } }] : [];
}

/** `az` asks where a type can be had before it makes the first one. */
function describeProvider(id: string, namespace: string) {
  const resourceTypes = ["containerApps", "managedEnvironments"].map((resourceType) => ({
    resourceType,
    locations: ["West Europe"],
    apiVersions: ["2025-07-01"],
  }));
  return { id, namespace, registrationState: "Registered", resourceTypes };
}

function readBody({ body }: AzureRequest): Json {
  try {
    return parseBody(body);
  } catch (error) {
    throw new Refusal(400, "InvalidRequestContent", `The request content was invalid: ${error}`);
  }
}

/** JSON merge patch, RFC 7396. */
function merge(old: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(old) ? old : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, merge(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

/** `az` writes null for what it does not say. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const said = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(said.map(([name, inner]) => [name, withoutNulls(inner)]));
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
