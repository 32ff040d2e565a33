// An account with its databases and containers.
import { randomUUID } from "node:crypto";
import { type Container, type ContainerDefinition, createContainer } from "./container.ts";
import type { JsonObject } from "./json.ts";
import { createRid, decodeRid } from "./rid.ts";

export interface Account {
  readonly databases: ReadonlyMap<string, Database>;
  createDatabase(id: string): Database;
  deleteDatabase(id: string): void;
  createContainer(database: Database, definition: ContainerDefinition): Container;
  replaceContainer(container: Container, definition: ContainerDefinition): void;
}

export interface Database {
  readonly id: string;
  readonly rid: Buffer;
  readonly properties: JsonObject;
  readonly containers: Map<string, Container>;
}

export function createAccount(now: () => number): Account {
  const databases = new Map<string, Database>();
  let databasesCreated = 0;
  let containersCreated = 0;
  const stamp = () => ({ _etag: `"${randomUUID()}"`, _ts: Math.floor(now() / 1000) });

  return {
    databases,

    createDatabase(id) {
      const rid = createRid(Buffer.alloc(0), ++databasesCreated, 4);
      const properties = { id, _rid: rid, _self: `dbs/${rid}/`, ...stamp(), _colls: "colls/", _users: "users/" };
      const database = { id, rid: decodeRid(rid), properties, containers: new Map() };
      databases.set(id, database);
      return database;
    },

    deleteDatabase(id) {
      databases.delete(id);
    },

    createContainer(database, definition) {
      const rid = createRid(database.rid, ++containersCreated, 4);
      const self = `${database.properties._self}colls/${rid}/`;
      const properties = { ...definition, _rid: rid, _self: self, ...stamp(), _docs: "docs/", _sprocs: "sprocs/" };
      const container = createContainer(properties, { rid: decodeRid(rid), self, now });
      database.containers.set(definition.id, container);
      return container;
    },

    replaceContainer(container, definition) {
      const { defaultTtl: _, ...kept } = container.definition;
      container.definition = { ...kept, ...definition, ...stamp() };
    },
  };
}
