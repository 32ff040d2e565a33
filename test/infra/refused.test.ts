// Parameter files that the template must reject before a deployment starts. The first line of each is part of the
// expected message, from a parameter type or from infra/bicep/validate.bicep.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bicep, findBicepOrSkip, startBicep } from "../support/bicep.ts";
import { root } from "../support/processes.ts";

const path = await findBicepOrSkip();
const folder = "test/infra/refused";

describe.skipIf(!path)("invalid parameter files", { timeout: 120_000 }, () => {
  let bicep: Bicep;
  beforeAll(() => {
    bicep = startBicep(path ?? "");
  });
  afterAll(() => bicep.close());

  test.for(readdirSync(join(root, folder)))("%s is rejected with the message in its first line", async (name) => {
    const file = join(folder, name);
    const [, expected] = /^\/\/ (.*)\n/.exec(readFileSync(join(root, file), "utf8")) ?? [];
    const { success, diagnostics } = await bicep.compileParameters(file);
    const message = success
      ? await bicep.plan(file).then(
          () => "accepted",
          (error) => error.message,
        )
      : diagnostics.map(({ message }) => message).join("\n");
    expect(message).toContain(expected);
  });

  test("a subdomain of the zone is accepted, and a region by its display name", async () => {
    await bicep.plan("test/infra/plans/aks-dns-subdomain.bicepparam");
  });
});
