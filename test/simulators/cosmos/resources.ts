// Routes to databases and containers: https://learn.microsoft.com/rest/api/cosmos-db/databases
import type { Account, Database } from "./account.ts";
import type { Container, ContainerDefinition } from "./container.ts";
import { isTtl, readResource } from "./document.ts";
import { type CosmosResponse, createFeed, Fault, methodNotAllowed, parseJson } from "./http.ts";
import { isObject } from "./json.ts";

export function onDatabases(method: string, account: Account, body: string): CosmosResponse {
  if (method === "GET") {
    const databases = [...account.databases.values()].map(({ properties }) => properties);
    return createFeed("Databases", "", databases);
  }
  if (method !== "POST") throw methodNotAllowed();
  const { id } = readResource(parseJson(body));
  if (account.databases.has(id)) throw alreadyExists();
  return { status: 201, body: account.createDatabase(id).properties };
}

export function onDatabase(method: string, account: Account, database: Database): CosmosResponse {
  if (method === "GET") return { status: 200, body: database.properties };
  if (method !== "DELETE") throw methodNotAllowed();
  account.deleteDatabase(database.id);
  return { status: 204 };
}

export function onContainers(method: string, account: Account, database: Database, body: string): CosmosResponse {
  if (method === "GET") {
    const definitions = [...database.containers.values()].map(({ definition }) => definition);
    return createFeed("DocumentCollections", database.rid.toString("base64"), definitions);
  }
  if (method !== "POST") throw methodNotAllowed();
  const definition = readContainerDefinition(body);
  if (database.containers.has(definition.id)) throw alreadyExists();
  return { status: 201, body: account.createContainer(database, definition).definition };
}

export function onContainer(
  method: string,
  account: Account,
  database: Database,
  container: Container,
  body: string,
): CosmosResponse {
  switch (method) {
    case "GET":
      return { status: 200, body: container.definition };
    case "DELETE":
      database.containers.delete(container.definition.id);
      return { status: 204 };
    case "PUT": {
      const definition = readContainerDefinition(body);
      if (definition.partitionKey.paths.join() !== container.definition.partitionKey.paths.join()) {
        throw new Fault(400, "Document collection partition key cannot be changed.");
      }
      account.replaceContainer(container, definition);
      return { status: 200, body: container.definition };
    }
    default:
      throw methodNotAllowed();
  }
}

export function onPartitionKeyRanges(method: string, container: Container): CosmosResponse {
  if (method !== "GET") throw methodNotAllowed();
  const range = { id: "0", minInclusive: "", maxExclusive: "FF", status: "online", throughputFraction: 1, parents: [] };
  return createFeed("PartitionKeyRanges", String(container.definition._rid), [range]);
}

/** @throws Fault 400 */
function readContainerDefinition(body: string): ContainerDefinition {
  const { defaultTtl, partitionKey, ...resource } = readResource(parseJson(body));
  const paths: unknown = isObject(partitionKey) ? partitionKey.paths : undefined;
  if (!isObject(partitionKey) || !Array.isArray(paths) || paths.length !== 1 || !/^\/./.test(String(paths[0]))) {
    throw new Fault(400, "The partition key must have one path, such as /partitionKey.");
  }
  if (!isTtl(defaultTtl)) throw new Fault(400, "The input defaultTtl is invalid.");
  return {
    ...resource,
    partitionKey: { ...partitionKey, paths: [String(paths[0])] },
    ...(defaultTtl === undefined ? {} : { defaultTtl: Number(defaultTtl) }),
  };
}

function alreadyExists(): Fault {
  return new Fault(409, "Resource with specified id or name already exists.");
}
