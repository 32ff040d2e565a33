// A container and its documents: https://learn.microsoft.com/rest/api/cosmos-db/documents
import { randomUUID } from "node:crypto";
import { type Document, readDocument } from "./document.ts";
import { Fault } from "./http.ts";
import type { JsonObject } from "./json.ts";
import { createRid } from "./rid.ts";

export interface ContainerDefinition extends JsonObject {
  readonly id: string;
  readonly partitionKey: JsonObject & { readonly paths: readonly [string] };
  /** Seconds. -1: documents live until their own `ttl`. Missing: TTL is off, the `ttl` of documents included. */
  readonly defaultTtl?: number;
}

export interface Container {
  definition: ContainerDefinition;
  /** The log sequence number, which each write increments. Session tokens contain it. */
  lsn(): number;
  find(partition: Partition, id: string): Document | undefined;
  /** Returns documents in order of creation, from all partitions unless one is given. */
  list(partition?: Partition): readonly Document[];
  /** @throws Fault */
  write(kind: WriteKind, partition: Partition, body: unknown, condition?: Condition): Written;
  /** @throws Fault */
  remove(partition: Partition, id: string, condition?: Condition): void;
  /** Returns a function that restores the documents as they are now. */
  snapshot(): () => void;
}

/** The canonical JSON of the value at the partition key path: `"a"`, `null`, or `{}` when the document has none. */
export type Partition = string;
type WriteKind = "Create" | "Upsert" | "Replace";

interface Condition {
  ifMatch?: string | undefined;
  /** The id in the URL of a replace. */
  id?: string;
}

export interface Written {
  status: 200 | 201;
  document: Document;
}

export function createContainer(
  definition: ContainerDefinition,
  { rid, self, now }: { rid: Buffer; self: string; now: () => number },
): Container {
  let documents = new Map<string, Document>();
  let lsn = 1;
  let created = 0;

  const container: Container = {
    definition,
    lsn: () => lsn,

    find(partition, id) {
      const document = documents.get(partition + id);
      return document !== undefined && isAlive(document) ? document : undefined;
    },

    list(partition) {
      return [...documents]
        .filter(([key, document]) => (partition === undefined || key === partition + document.id) && isAlive(document))
        .map(([, document]) => document);
    },

    write(kind, partition, body, { ifMatch, id } = {}) {
      const item = readDocument(body);
      if (partition !== partitionOf(item, container.definition)) {
        throw new Fault(400, "PartitionKey extracted from document doesn't match the one specified in the header.", {
          substatus: 1001,
        });
      }
      if (id !== undefined && id !== item.id) throw new Fault(400, "The id of the document can't be changed.");

      const old = container.find(partition, item.id);
      if (kind === "Create" && old !== undefined) {
        throw new Fault(409, "Entity with the specified id already exists in the system.");
      }
      if (kind === "Replace" && old === undefined) throw notFound();
      // An upsert with If-Match inserts a missing document. Dapr's first-write relies on that.
      if (old !== undefined) checkMatch(ifMatch, old);

      const documentRid = old?._rid ?? createRid(rid, ++created, 8);
      const document: Document = {
        ...item,
        _rid: documentRid,
        _self: `${self}docs/${documentRid}/`,
        _etag: `"${randomUUID()}"`,
        _attachments: "attachments/",
        _ts: Math.floor(now() / 1000),
      };
      // Deletes an expired document with this id first, so that the new one comes last in the order of creation.
      if (old === undefined) documents.delete(partition + item.id);
      documents.set(partition + item.id, document);
      lsn++;
      return { status: old === undefined ? 201 : 200, document };
    },

    remove(partition, id, { ifMatch } = {}) {
      const old = container.find(partition, id);
      if (old === undefined) throw notFound();
      checkMatch(ifMatch, old);
      documents.delete(partition + id);
      lsn++;
    },

    snapshot() {
      const before = { documents: new Map(documents), lsn };
      return () => {
        ({ documents, lsn } = before);
      };
    },
  };
  return container;

  function isAlive(document: Document): boolean {
    const { defaultTtl } = container.definition;
    if (defaultTtl === undefined) return true;
    const ttl = typeof document.ttl === "number" ? document.ttl : defaultTtl;
    return ttl === -1 || (document._ts + ttl) * 1000 > now();
  }
}

export function notFound(): Fault {
  return new Fault(404, "Entity with the specified id does not exist in the system.");
}

function partitionOf(item: JsonObject, { partitionKey }: ContainerDefinition): Partition {
  let value: unknown = item;
  for (const name of partitionKey.paths[0].split("/").slice(1)) {
    value =
      typeof value === "object" && value !== null
        ? Object.entries(value).find(([key]) => key === name)?.[1]
        : undefined;
  }
  return JSON.stringify(value ?? (value === null ? null : {}));
}

function checkMatch(ifMatch: string | undefined, { _etag }: Document): void {
  if (ifMatch !== undefined && ifMatch !== "*" && ifMatch !== _etag) {
    throw new Fault(412, "Operation cannot be performed because one of the specified precondition is not met.");
  }
}
