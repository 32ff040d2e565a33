import type { TLocalizedValidationError } from "typebox/error";
import { keyRule } from "../dapr/key.ts";
import { Problem } from "../runtime/problem.ts";
import { validate } from "./openapi.ts";
import type { Operation } from "./store.ts";

interface Validator<T> {
  Check(value: unknown): value is T;
  Errors(value: unknown): [boolean, TLocalizedValidationError[]];
  Schema(): { readonly properties: object };
}

/** Of a Cosmos DB batch. https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-request-limits */
const MAX_STORE_OPERATIONS = 100;
/** As many as typebox reports for one schema. */
const MAX_FAULTS = 8;

/**
 * The body, which matches the schema.
 * @throws {Problem} 400 with a sentence for each place that does not match
 */
export function checkBody<T>(body: unknown, validator: Validator<T>): T {
  if (validator.Check(body)) return body;
  throw mismatch(faults(body, validator));
}

/**
 * The operations of a transaction. Compares each one only with the schema that its `operation` selects, because the
 * faults found by the other one would be misleading.
 * @throws {Problem} 400 with a sentence for each place that does not match, or for too many operations
 */
export function checkTransaction(body: unknown): readonly Operation[] {
  if (validate.transactionRequest.Check(body)) {
    const deletes = body.operations.filter(({ operation }) => operation === "delete").length;
    const size = body.operations.length + deletes;
    if (size <= MAX_STORE_OPERATIONS) return body.operations;
    throw new Problem(
      400,
      "too-many-operations",
      `A transaction must not have more than ${MAX_STORE_OPERATIONS} operations`,
      {
        detail: `A delete counts as two; this is ${size}.`,
      },
    );
  }
  const { operations } = checkBody(body, validate.anyTransaction);
  throw mismatch(operations.flatMap((item, index) => faults(item, validate[item.operation], `/operations/${index}`)));
}

function mismatch(sentences: readonly string[]): Problem {
  const detail = sentences.slice(0, MAX_FAULTS).join(" ");
  return new Problem(400, "bad-request", "The body does not match /openapi.json", { detail });
}

/**
 * One sentence for each place that does not match: the place as a JSON pointer, and what is allowed.
 * @param place of `value` in the body
 */
function faults(value: unknown, validator: Validator<unknown>, place = ""): string[] {
  const rules = new Map<string, string>();
  const add = (path: string, rule: string) => rules.set(path, rules.get(path) ?? rule);
  const properties = Object.keys(validator.Schema().properties);
  for (const { keyword, params, instancePath, message } of validator.Errors(value)[1]) {
    const path = place + instancePath;
    switch (keyword) {
      case "required":
        for (const name of params.requiredProperties) add(`${path}/${name}`, "is missing");
        break;
      case "boolean":
        add(path, `is not allowed; use ${properties.join(", ")}`);
        break;
      case "additionalProperties": // repeats "boolean"
        break;
      case "type":
        add(path, `must be ${/^[aeiou]/.test(`${params.type}`) ? "an" : "a"} ${params.type}`);
        break;
      case "enum":
        add(path, `must be ${params.allowedValues.join(" or ")}`);
        break;
      default:
        add(path, path.includes("/key") && /pattern|Length/.test(keyword) ? `is invalid: ${keyRule()}` : message);
    }
  }
  return [...rules].map(([path, rule]) => `${path || "The body"} ${rule}.`);
}
