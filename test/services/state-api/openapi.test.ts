import { beforeEach, describe, expect, test, vi } from "vitest";

let openapi: typeof import("../../../services/state-api/openapi.ts").openapi;
let validate: typeof import("../../../services/state-api/openapi.ts").validate;
beforeEach(async () => {
  vi.resetModules(); // each test runs the module anew, so that npm run mutate sees which tests need its literals
  ({ openapi, validate } = await import("../../../services/state-api/openapi.ts"));
});

describe("validate", () => {
  test.each<[string, unknown, boolean]>([
    ["an upsert without its other properties", { operations: [{ operation: "upsert" }] }, true],
    ["a delete with any property", { operations: [{ operation: "delete", key: 7, x: 1 }] }, true],
    ["an unknown operation", { operations: [{ operation: "replace" }] }, false],
    ["an object without an operation", { operations: [{}] }, false],
    ["an operation that is not an object", { operations: [7] }, false],
    ["no operation", { operations: [] }, false],
    ["no list", {}, false],
  ])("anyTransaction selects by the operation alone: %s", (_what, body, expected) => {
    expect(validate.anyTransaction.Check(body)).toBe(expected);
  });

  test("has the schemas of the document, and those of one operation", () => {
    const { SaveRequest, BulkRequest, TransactionRequest } = openapi.components.schemas;
    const schemas = [validate.saveRequest, validate.bulkRequest, validate.transactionRequest];
    expect(schemas.map((validator) => validator.Schema())).toEqual([SaveRequest, BulkRequest, TransactionRequest]);
    const operations = [validate.upsert, validate.delete].map((validator) => validator.Schema());
    expect(operations).toEqual(TransactionRequest.properties.operations.items.anyOf);
    expect(validate.ifMatch.Schema()).toEqual(openapi.paths["/state/{key}"].delete.parameters[0]?.schema);
  });
});

test("the OpenAPI document is the one in openapi.snap.json", async () => {
  await expect(`${JSON.stringify(openapi, null, 2)}\n`).toMatchFileSnapshot("openapi.snap.json");
});
