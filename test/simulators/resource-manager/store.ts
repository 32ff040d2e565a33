// The resources that a subscription has, as Azure Resource Manager keeps them for all providers alike.
import type { AzureResponse } from "../../../stand-ins/azure/http.ts";
import { armError } from "../../../stand-ins/azure/resource-manager-responses.ts";

export type Json = { [name: string]: unknown };

/** As its provider keeps it, what can only be written included. */
export interface Resource extends Json {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly properties: Json;
}

export interface Store {
  /** Ids are not case-sensitive. */
  find(id: string): Resource | undefined;
  /** Those of one type below `scope`, in the order they were made in. */
  list(scope: string, type: string): Resource[];
  /** @throws Refusal when the provider does not take it */
  put(id: string, body: Json): Resource;
  /** With all that is below it; false: there was none. */
  remove(id: string): boolean;
}

/** Fills in what the provider of a type does, and throws what it refuses. */
export type Complete = (resource: Resource, store: Store) => Resource;

/** What the caller gets to see in the place of an answer. */
export class Refusal extends Error {
  readonly response: AzureResponse;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.response = armError(status, code, message);
  }
}

/** @param providers By resource type, in lower case. */
export function createStore(providers: Readonly<Record<string, Complete>>): Store {
  const kept = new Map<string, Resource>();
  const store: Store = {
    find: (id) => kept.get(id.toLowerCase()),
    list(scope, type) {
      const prefix = `${scope.toLowerCase()}/`;
      const all = [...kept].filter(([id]) => id.startsWith(prefix)).map(([, resource]) => resource);
      return all.filter((resource) => resource.type.toLowerCase() === type.toLowerCase());
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
      for (const other of kept.keys()) if (other.startsWith(`${key}/`)) kept.delete(other);
      return kept.delete(key);
    },
  };
  return store;
}

/** e.g. Microsoft.App/containerApps/revisions; "" for a path that is not a resource's. */
export function typeOf(id: string): string {
  const [, provided] = /.*\/providers\/(.+)$/i.exec(id) ?? [];
  const [namespace, ...rest] = provided?.split("/") ?? [];
  if (rest.length === 0 || rest.length % 2 === 1) return "";
  return [namespace, ...rest.filter((_, index) => index % 2 === 0)].join("/");
}

/** The resource that another is a part of. */
export function parentOf(id: string): string | undefined {
  return typeOf(id).split("/").length > 2 ? id.split("/").slice(0, -2).join("/") : undefined;
}
