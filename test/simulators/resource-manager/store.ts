// Stores the resources of a subscription.
import type { Json } from "./json.ts";

/** A resource as its provider stores it, with write-only properties such as secrets. */
export interface Resource extends Json {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly properties: Json;
}

export interface Store {
  /** Ids are not case-sensitive. */
  find(id: string): Resource | undefined;
  /** Returns the resources of one type, or of all types, below `scope`, in order of creation. */
  list(scope: string, type?: string): Resource[];
  /** @throws ArmFault when the provider rejects it */
  put(id: string, body: Json): Resource;
  /** Removes a resource and everything below it, and returns what it removed. */
  remove(id: string): Resource[];
}

/** Adds the properties that a type's provider adds. @throws ArmFault when the provider rejects the resource */
export type Complete = (resource: Resource, store: Store) => Resource;

/**
 * @param providers By resource type, in lower case.
 * @param onRemoved Receives what `remove` returns.
 */
export function createStore(
  providers: Readonly<Record<string, Complete>>,
  onRemoved: (removed: readonly Resource[]) => void,
): Store {
  const kept = new Map<string, Resource>();
  const store: Store = {
    find: (id) => kept.get(id.toLowerCase()),
    list(scope, type) {
      const prefix = `${scope.toLowerCase()}/`;
      const all = [...kept].filter(([id]) => id.startsWith(prefix)).map(([, resource]) => resource);
      return all.filter((resource) => !type || resource.type.toLowerCase() === type.toLowerCase());
    },
    put(id, body) {
      const properties = { ...(body.properties as Json | undefined), provisioningState: "Succeeded" };
      const resource = { ...body, id, name: id.slice(id.lastIndexOf("/") + 1), type: typeOf(id), properties };
      const completed = providers[resource.type.toLowerCase()]?.(resource, store) ?? resource;
      kept.set(id.toLowerCase(), completed);
      return completed;
    },
    remove(id) {
      const key = id.toLowerCase();
      const removed = [...kept].filter(([other]) => other === key || other.startsWith(`${key}/`));
      for (const [other] of removed) kept.delete(other);
      const resources = removed.map(([, resource]) => resource);
      onRemoved(resources);
      return resources;
    },
  };
  return store;
}

/** Returns e.g. Microsoft.App/containerApps/revisions, or "" when the path is not a resource's. */
export function typeOf(id: string): string {
  const [, provided] = /.*\/providers\/(.+)$/i.exec(id) ?? [];
  const [namespace, ...rest] = provided?.split("/") ?? [];
  if (rest.length === 0 || rest.length % 2 === 1) return "";
  return [namespace, ...rest.filter((_, index) => index % 2 === 0)].join("/");
}

/** Returns the id of the resource that contains another; undefined when none does. */
export function parentOf(id: string): string | undefined {
  return typeOf(id).split("/").length > 2 ? id.split("/").slice(0, -2).join("/") : undefined;
}
