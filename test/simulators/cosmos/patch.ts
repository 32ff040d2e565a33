// Partial updates of a document, without arrays: https://learn.microsoft.com/rest/api/cosmos-db/patch-a-document.
// Dapr sends none; the tests of its client, azcosmos, do.
import { Fault } from "./http.ts";
import { isObject, type JsonObject } from "./json.ts";

/**
 * Returns the document after the operations of `body`, in their order.
 * @throws Fault 400
 */
export function patch(document: JsonObject, body: unknown): JsonObject {
  const operations = isObject(body) ? body.operations : undefined;
  if (!Array.isArray(operations)) throw new Fault(400, "A patch needs an array of operations.");
  return operations.filter(isObject).reduce((patched, operation) => apply(patched, operation), document);
}

function apply(document: JsonObject, { op, path, value }: JsonObject): JsonObject {
  const [first = "", ...rest] = String(path).split("/").slice(1);
  const old = Object.hasOwn(document, first) ? document[first] : undefined;
  if (rest.length > 0) {
    if (!isObject(old)) throw new Fault(400, `The path ${path} does not exist, or is in an array.`);
    return { ...document, [first]: apply(old, { op, path: `/${rest.join("/")}`, value }) };
  }
  switch (op) {
    case "add":
    case "set":
      return { ...document, [first]: value };
    case "replace":
      if (old === undefined) throw new Fault(400, `The path ${path} does not exist.`);
      return { ...document, [first]: value };
    case "incr":
      return { ...document, [first]: Number(old ?? 0) + Number(value) };
    case "remove": {
      const { [first]: removed, ...kept } = document;
      if (removed === undefined) throw new Fault(400, `The path ${path} does not exist.`);
      return kept;
    }
    default:
      throw new Fault(400, `The simulator does not support the patch operation "${op}".`);
  }
}
