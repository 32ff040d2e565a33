// Parameter files that must not get as far as Azure. The first line of each says how it is refused: by a type of the
// parameters, or by fail() in the name of the resource group, which everything else needs.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bicep, findBicepOrSkip, startBicep } from "../support/bicep.ts";
import { root } from "../support/processes.ts";

const path = await findBicepOrSkip();
const folder = "test/infra/refused";

describe.skipIf(!path)("refused", { timeout: 120_000 }, () => {
  let bicep: Bicep;
  beforeAll(() => {
    bicep = startBicep(path ?? "");
  });
  afterAll(() => bicep.close());

  test.for(readdirSync(join(root, folder)))("%s", async (name) => {
    const file = join(folder, name);
    const [, reason] = /^\/\/ (.*)\n/.exec(readFileSync(join(root, file), "utf8")) ?? [];
    const { success, diagnostics } = await bicep.compileParameters(file);
    const refusal = success
      ? await bicep.plan(file).then(
          () => "nothing",
          (error) => error.message,
        )
      : diagnostics.map(({ message }) => message).join("\n");
    expect(refusal).toContain(reason);
  });

  test("and what is accepted beside it: a subdomain of the zone, in a region written as people do", async () => {
    await bicep.plan("test/infra/plans/aks-dns-subdomain.bicepparam");
  });
});
