// Schemathesis is a fuzzer that knows OpenAPI and nothing of this project. It sends the services requests that their
// documents allow and requests that they forbid, and compares every response with the document.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sampleUsers } from "../../stand-ins/azure/sample.ts";
import { findSchemathesisOrSkip, fuzz } from "../support/schemathesis.ts";
import { type Suite, startSuite } from "../support/suite.ts";

const python = await findSchemathesisOrSkip();
const names = ["state-api", "welcome", "group-lister", "hello-wasm"] as const;

describe.skipIf(!python)("Schemathesis", { timeout: 300_000 }, () => {
  let suite: Suite;
  beforeAll(async () => {
    suite = await startSuite();
  }, 60_000);
  afterAll(() => suite?.end());

  test.for(names)("finds no difference between %s and its OpenAPI document", async (name) => {
    const { exitCode, report } = await fuzz(python ?? "", suite.services[name].origin);
    expect(exitCode, report).toBe(0);
    expect(report).toContain("No issues found");
    expect(suite.services[name].output()).not.toContain('"level":"error"');
  });

  test("finds no difference between welcome with sign-in and its OpenAPI document", async () => {
    const withSignIn = await startSuite({ signIn: true });
    try {
      const { azure, services } = withSignIn;
      const token = azure.issueUserToken(sampleUsers[0]);
      const { exitCode, report } = await fuzz(python ?? "", services.welcome.origin, { token });
      expect(exitCode, report).toBe(0);
      expect(report).toContain("No issues found");
    } finally {
      await withSignIn.end();
    }
  });

  test("finds every fault of a document that describes state-api wrongly", async () => {
    const { origin } = suite.services["state-api"];
    const folder = mkdtempSync(join(tmpdir(), "openapi-fuzz-test-"));
    const file = join(folder, "wrong.json");
    const document = await (await fetch(`${origin}/openapi.json`)).text();
    try {
      const wrong = JSON.parse(document);
      const { delete: remove, get } = wrong.paths["/state/{key}"];
      remove.parameters[0].schema = { type: "string" };
      get.responses[404] = undefined;
      get.responses[200].content = { "text/plain": { schema: { type: "string" } } };
      wrong.paths["/state/bulk"].put = undefined;
      wrong.paths["/state/{key}"].parameters[0].schema.maxLength = 20;
      writeFileSync(file, JSON.stringify(wrong));
      const { exitCode, report } = await fuzz(python ?? "", origin, { document: file, phases: "examples,coverage" });
      expect(exitCode).toBe(1);
      for (const finding of [
        "Schema-valid request rejected", // If-Match is more than any string
        "Undocumented status code", // 404
        "Undocumented Content-Type", // JSON
        "Allow header mismatch", // PUT /state/bulk
        "Schema-violating request accepted", // 21 characters
      ]) {
        expect(report).toContain(finding);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
