// Compiles, lints and formats every Bicep file of infra/ with the real compiler: with the strict configuration of the
// tests, and as users compile them, without a configuration.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { at, textAt } from "../support/at.ts";
import {
  environment,
  findBicepOrSkip,
  openWorkshop,
  startBicep,
  strictConfiguration,
  type Workshop,
} from "../support/bicep.ts";
import { root } from "../support/processes.ts";

const path = await findBicepOrSkip();
const files = readdirSync(join(root, "infra"), { recursive: true, encoding: "utf8" })
  .map((name) => join("infra", name))
  .filter((name) => /\.bicep(param)?$/.test(name));
const rules = at(JSON.parse(readFileSync(join(root, strictConfiguration), "utf8")), "analyzers.core.rules");

/** The `#disable-next-line` comments. */
const disabled = files.flatMap((file) =>
  readFileSync(join(root, file), "utf8")
    .split("\n")
    .flatMap((text, line) => {
      const [, rule] = /#disable-next-line (\S+)/.exec(text) ?? [];
      return rule ? [{ file, line, rule }] : [];
    }),
);

interface Parameter {
  readonly metadata?: { readonly description?: string };
  readonly defaultValue?: unknown;
  readonly nullable?: boolean;
}

/** Breaks four rules of the linter. */
const careless = `
  param unused string
  resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
    name: 'careless'
    location: 'westeurope'
    sku: { name: 'Basic' }
  }
  output login string = registry.listCredentials().passwords[0].value`;

describe.skipIf(!path)("Bicep files", { timeout: 120_000 }, () => {
  let bicep: Workshop;
  beforeAll(() => {
    bicep = openWorkshop(path ?? "");
  });
  afterAll(() => bicep.close());

  test.for(files)("%s compiles without errors and warnings, and is formatted", async (file) => {
    expect(await compile(bicep, file)).toMatchObject({ success: true, diagnostics: [] });
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

  test.for(disabled)(
    "$file disables $rule only because the next line has that finding",
    async ({ file, rule, line }) => {
      const source = readFileSync(join(root, file), "utf8");
      const lines = source.split("\n").toSpliced(line, 1);
      writeFileSync(join(bicep.folder, file), lines.join("\n"));
      const { diagnostics } = await compile(bicep, file);
      writeFileSync(join(bicep.folder, file), source);
      expect(diagnostics.map(({ code }) => code)).toEqual([rule]);
    },
  );
});

describe.skipIf(!path)("Bicep files as users compile them", { timeout: 120_000 }, () => {
  let bicep: Workshop;
  beforeAll(() => {
    bicep = openWorkshop(path ?? "", { strict: false });
  });
  afterAll(() => bicep.close());

  test.for(files)("%s compiles without errors", async (file) => {
    const { success, diagnostics } = await compile(bicep, file);
    expect(success).toBe(true);
    expect(diagnostics.filter(({ level }) => level === "Error")).toEqual([]);
  });

  test("a missing variable is reported in the words of docs/troubleshooting.md", async () => {
    const page = readFileSync(join(root, "docs/troubleshooting.md"), "utf8");
    const quoted = /^### \d+\. `(Environment variable "…" [^`]*)`/m.exec(page)?.[1] ?? "";
    const { DEMO_SECRET: _, ...env } = environment;
    const without = startBicep(path ?? "", { env });
    const { diagnostics } = await without.compileParameters("infra/bicep/parameters/containerapps.bicepparam");
    without.close();
    expect(diagnostics.map(({ message }) => message)).toEqual([quoted.replace("…", "DEMO_SECRET")]);
  });

  test("an unused parameter, an old API version and other findings of the linter do not stop a user", async () => {
    writeFileSync(join(bicep.folder, "infra/bicep/careless.bicep"), careless);
    const { success, diagnostics } = await bicep.compile("infra/bicep/careless.bicep");
    expect(success).toBe(true);
    expect(diagnostics.map(({ level, code }) => `${level} ${code}`).sort()).toEqual([
      "Warning no-unused-params",
      "Warning outputs-should-not-contain-secrets",
    ]);
  });
});

describe("API versions", () => {
  // Both checks compare with this date and not with the day of the run, so that time alone never fails a test. To use
  // a newer API version, set the date to the present day.
  const reviewed = Date.parse(textAt(rules, "use-recent-api-versions.test-today"));
  const days = 24 * 60 * 60 * 1000;

  test("are at least 90 days old, so that the compilers of users know them", () => {
    expect(reviewed).toBeLessThan(Date.now());
    const versions = files.flatMap((file) =>
      [...readFileSync(join(root, file), "utf8").matchAll(/'[\w./]+@(\d{4}-\d{2}-\d{2})[\w-]*'/g)].map(
        ([resource, date = ""]) => ({ file, resource, isYoung: Date.parse(date) > reviewed - 90 * days }),
      ),
    );
    expect(versions.length).toBeGreaterThan(20);
    expect(versions.filter(({ isYoung }) => isYoung)).toEqual([]);
  });
});

function compile(bicep: Workshop, file: string) {
  return file.endsWith("param") ? bicep.compileParameters(file) : bicep.compile(file);
}
