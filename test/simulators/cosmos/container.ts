// What one container does with documents: https://learn.microsoft.com/rest/api/cosmos-db/documents
import { randomUUID } from "node:crypto";
import { Fault } from "./http.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export interface Document extends JsonObject {
  readonly id: string;
  readonly _rid: string;
  readonly _etag: string;
  readonly _ts: number;
}

export interface ContainerDefinition extends JsonObject {
  readonly id: string;
  readonly partitionKey: JsonObject & { readonly paths: readonly [string] };
  /** Seconds; -1 = documents live until their own `ttl`; absent = TTL is off, `ttl` of documents included. */
  readonly defaultTtl?: number;
}

export interface Container {
  definition: ContainerDefinition;
  /** Grows with each write: the `lsn` and the session token. */
  lsn(): number;
  find(partition: Partition, id: string): Document | undefined;
  /** In order of creation; of all partitions when none is given. */
  list(partition?: Partition): readonly Document[];
  write(kind: WriteKind, partition: Partition, body: unknown, condition?: Condition): Written;
  remove(partition: Partition, id: string, condition?: Condition): void;
  /** All or nothing. https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch */
  batch(partition: Partition, operations: unknown): { status: 200 | 207; results: readonly BatchResult[] };
}

/** The canonical JSON of the value at the partition key path: `"a"`, `null`, or `{}` when the document has none. */
export type Partition = string;
export type WriteKind = "Create" | "Upsert" | "Replace";

export interface Condition {
  ifMatch?: string | undefined;
  /** The id in the URL of a replace. */
  id?: string;
}

export interface Written {
  status: 200 | 201;
  document: Document;
}

export interface BatchResult {
  statusCode: number;
  requestCharge: number;
  eTag?: string;
  resourceBody?: Document;
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
      const item = validate(body);
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
      // An upsert with If-Match of a document that is not there inserts it. Dapr's first-write relies on that.
      if (old !== undefined) checkMatch(ifMatch, old);

      const documentRid = old?._rid ?? childRid(rid, ++created, 8);
      const document: Document = {
        ...item,
        _rid: documentRid,
        _self: `${self}docs/${documentRid}/`,
        _etag: `"${randomUUID()}"`,
        _attachments: "attachments/",
        _ts: Math.floor(now() / 1000),
      };
      // An expired document with this id is deleted first, so that the new one takes the last place.
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

    batch(partition, operations) {
      if (!Array.isArray(operations) || operations.length === 0 || operations.length > 100) {
        throw new Fault(400, "Batch request needs 1 to 100 operations.");
      }
      const before = { documents: new Map(documents), lsn };
      const results: BatchResult[] = [];
      for (const operation of operations) {
        const result = run(operation, partition);
        results.push(result);
        if (result.statusCode >= 400) {
          ({ documents, lsn } = before);
          const failed = results.length - 1;
          return {
            status: 207,
            results: operations.map((_, index) => (index === failed ? result : { statusCode: 424, requestCharge: 0 })),
          };
        }
      }
      return { status: 200, results };
    },
  };
  return container;

  function isAlive(document: Document): boolean {
    const { defaultTtl } = container.definition;
    if (defaultTtl === undefined) return true;
    const ttl = typeof document.ttl === "number" ? document.ttl : defaultTtl;
    return ttl === -1 || (document._ts + ttl) * 1000 > now();
  }

  function run(operation: unknown, partition: Partition): BatchResult {
    try {
      const { operationType, id, resourceBody, ifMatch } = readOperation(operation);
      switch (operationType) {
        case "Create":
        case "Upsert":
        case "Replace": {
          const target = operationType === "Replace" ? { id } : {};
          return toResult(container.write(operationType, partition, resourceBody, { ifMatch, ...target }));
        }
        case "Read": {
          const document = container.find(partition, id);
          if (document === undefined) throw notFound();
          return toResult({ status: 200, document });
        }
        case "Delete":
          container.remove(partition, id, { ifMatch });
          return { statusCode: 204, requestCharge: 1 };
        default:
          throw new Fault(400, `The stand-in has no batch operation "${operationType}".`);
      }
    } catch (error) {
      if (error instanceof Fault) return { statusCode: error.status, requestCharge: 1 };
      throw error;
    }
  }
}

export function notFound(): Fault {
  return new Fault(404, "Entity with the specified id does not exist in the system.");
}

/** A resource's `_rid` starts with its parent's: 4 bytes for a database, 8 for a container, 16 for a document. */
export function childRid(parent: Buffer, index: number, bytes: 4 | 8): string {
  const own = Buffer.alloc(bytes);
  own.writeUInt32LE(index);
  return Buffer.concat([parent, own]).toString("base64").replaceAll("/", "-");
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

function validate(body: unknown): JsonObject & { id: string } {
  if (!isObject(body) || typeof body.id !== "string" || body.id === "") {
    throw new Fault(400, "The input content is invalid because the required properties - 'id; ' - are missing");
  }
  if (/[/\\?#]/.test(body.id) || Buffer.byteLength(body.id) > 1023) {
    throw new Fault(400, "The id has an illegal character (/ \\ ? #) or more than 1023 bytes.");
  }
  if (!isTtl(body.ttl)) {
    throw new Fault(400, "The input ttl is invalid. Ensure to provide a nonzero positive integer value, or -1.");
  }
  return { ...body, id: body.id };
}

/** Absent, -1 (never) or a positive number of seconds. */
export function isTtl(ttl: unknown): boolean {
  return ttl === undefined || ttl === -1 || (Number.isInteger(ttl) && Number(ttl) > 0);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readOperation(operation: unknown): {
  operationType: string;
  id: string;
  resourceBody: unknown;
  ifMatch: string | undefined;
} {
  if (!isObject(operation)) throw new Fault(400, "A batch operation must be an object.");
  const { operationType, id, resourceBody, ifMatch } = operation;
  return {
    operationType: String(operationType),
    id: typeof id === "string" ? id : "",
    resourceBody,
    ifMatch: typeof ifMatch === "string" ? ifMatch : undefined,
  };
}

function toResult({ status, document }: Written): BatchResult {
  return { statusCode: status, requestCharge: 1, eTag: document._etag, resourceBody: document };
}
