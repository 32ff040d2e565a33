// infra/, as far as it can be judged without Azure.
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { root } from "./support/processes.ts";

const bicep = process.env.BICEP ?? "bicep";
const found = spawnSync(bicep, ["--version"]).status === 0;

describe.skipIf(!found)("infra/, by the real Bicep compiler (BICEP, or bicep on PATH)", () => {
  const files = readdirSync(join(root, "infra")).filter((name) => name.endsWith(".bicep"));

  test.each(files)("%s compiles and is linted without a word", (file) => {
    const built = spawnSync(bicep, ["build", join(root, "infra", file), "--stdout"], { encoding: "utf8" });
    expect(built.stderr).toBe("");
    expect(built.status).toBe(0);
    expect(JSON.stringify(JSON.parse(built.stdout).outputs ?? {})).not.toMatch(/listKeys|connectionString/i);
  });

  test.each(files)("%s is formatted", (file) => {
    const path = join(root, "infra", file);
    expect(execFileSync(bicep, ["format", path, "--stdout"], { encoding: "utf8" })).toBe(readFileSync(path, "utf8"));
  });

  test("what Cosmos DB is made of is what the components name", () => {
    const built = execFileSync(bicep, ["build", join(root, "infra/cosmos.bicep"), "--stdout"], { encoding: "utf8" });
    const component = parse(readFileSync(join(root, "components/cosmos/containerapps.yaml"), "utf8"));
    const named = Object.fromEntries(
      component.metadata.map((item: { name: string; value: string }) => [item.name, item.value]),
    );
    expect(built).toContain(`"id": "${named.database}"`);
    expect(built).toContain(`"id": "${named.collection}"`);
    expect(built).toContain('"/partitionKey"');
    expect(built).toContain('"disableLocalAuth": true');
  });
});
