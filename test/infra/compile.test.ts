// Compiles, lints and formats every Bicep file of infra/ with the real compiler.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBicepOrSkip, openWorkshop, type Workshop } from "../support/bicep.ts";
import { root } from "../support/processes.ts";

const path = await findBicepOrSkip();

interface Parameter {
  readonly metadata?: { readonly description?: string };
  readonly defaultValue?: unknown;
  readonly nullable?: boolean;
}

describe.skipIf(!path)("Bicep files", { timeout: 120_000 }, () => {
  const files = readdirSync(join(root, "infra"), { recursive: true, encoding: "utf8" })
    .map((name) => join("infra", name))
    .filter((name) => /\.bicep(param)?$/.test(name));
  let bicep: Workshop;

  beforeAll(() => {
    bicep = openWorkshop(path ?? "");
  });
  afterAll(() => bicep.close());

  test.for(files)("%s compiles without errors and warnings, and is formatted", async (file) => {
    const compiled = await (file.endsWith("param") ? bicep.compileParameters(file) : bicep.compile(file));
    expect(compiled).toMatchObject({ success: true, diagnostics: [] });
    expect((await bicep.format(file)).contents).toBe(readFileSync(join(root, file), "utf8"));
  });

  test.for(files.filter((name) => name.endsWith(".bicep")))(
    "%s describes every parameter, as Required or Optional",
    async (file) => {
      const { parameters = {} } = JSON.parse((await bicep.compile(file)).contents);
      for (const [name, { metadata, defaultValue, nullable }] of Object.entries<Parameter>(parameters)) {
        const needed = defaultValue === undefined && !nullable ? "Required. " : "Optional. ";
        expect([name, metadata?.description]).toEqual([name, expect.stringMatching(new RegExp(`^${needed}.*\\.$`))]);
      }
    },
  );

  test("the linter rejects violations of its rules and outdated API versions", async () => {
    writeFileSync(join(bicep.folder, "infra/bicep/careless.bicep"), careless);
    const { success, diagnostics } = await bicep.compile("infra/bicep/careless.bicep");
    expect(success).toBe(false);
    expect(diagnostics.map(({ level, code }) => `${level} ${code}`).sort()).toEqual([
      "Error no-hardcoded-location",
      "Error no-unused-params",
      "Error outputs-should-not-contain-secrets",
      "Error use-recent-api-versions",
    ]);
  });

  const careless = `
    param unused string
    resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
      name: 'careless'
      location: 'westeurope'
      sku: { name: 'Basic' }
    }
    output login string = registry.listCredentials().passwords[0].value`;
});
