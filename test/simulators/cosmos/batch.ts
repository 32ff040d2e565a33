// Runs a batch of operations in one partition: https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch
import { type Container, notFound, type Partition, type Written } from "./container.ts";
import type { Document } from "./document.ts";
import { Fault } from "./http.ts";
import { isObject } from "./json.ts";
import { patch } from "./patch.ts";

interface BatchResult {
  statusCode: number;
  requestCharge: number;
  eTag?: string;
  resourceBody?: Document;
}

const maximumOperations = 100;

/** Runs all operations and returns 200. If one fails, undoes the others and returns 207 with 424 for each of them. */
export function runBatch(
  container: Container,
  partition: Partition,
  operations: unknown,
): { status: 200 | 207; results: readonly BatchResult[] } {
  if (!Array.isArray(operations) || operations.length === 0 || operations.length > maximumOperations) {
    throw new Fault(400, `Batch request needs 1 to ${maximumOperations} operations.`);
  }
  const restore = container.snapshot();
  const results: BatchResult[] = [];
  for (const operation of operations) {
    const result = run(container, partition, operation);
    results.push(result);
    if (result.statusCode >= 400) {
      restore();
      const failed = results.length - 1;
      return {
        status: 207,
        results: operations.map((_, index) => (index === failed ? result : { statusCode: 424, requestCharge: 0 })),
      };
    }
  }
  return { status: 200, results };
}

function run(container: Container, partition: Partition, operation: unknown): BatchResult {
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
      case "Patch": {
        const old = container.find(partition, id);
        if (old === undefined) throw notFound();
        return toResult(container.write("Replace", partition, patch(old, resourceBody), { ifMatch, id }));
      }
      case "Delete":
        container.remove(partition, id, { ifMatch });
        return { statusCode: 204, requestCharge: 1 };
      default:
        throw new Fault(400, `The simulator does not support the batch operation "${operationType}".`);
    }
  } catch (error) {
    if (error instanceof Fault) return { statusCode: error.status, requestCharge: 1 };
    throw error;
  }
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
