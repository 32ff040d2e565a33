// The page of the options and the example parameter files name each other.
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../support/processes.ts";

const page = "docs/deploy/options.md";
const examples = "infra/bicep/parameters/examples";

/** The rows of the options: the parameter and the paths of the examples. */
const rows = [...readFileSync(join(root, page), "utf8").matchAll(/^\|[^|]+\| `([\w.]+)` \| (\[[^|]+) \|/gm)].map(
  ([, parameter = "", links = ""]) => ({
    parameter,
    files: [...links.matchAll(/\]\(([^)]+)\)/g)].map(([, link = ""]) => join(dirname(page), link)),
  }),
);

test("docs/deploy/options.md links to every example parameter file", () => {
  const linked = rows.flatMap(({ files }) => files).filter((file) => dirname(file) === examples);
  expect([...new Set(linked.map((file) => basename(file)))].sort()).toEqual(readdirSync(join(root, examples)).sort());
});

test.for(rows.flatMap(({ parameter, files }) => files.map((file) => [parameter, file] as const)))(
  "docs/deploy/options.md gives an example of %s that sets it: %s",
  ([parameter, file]) => {
    const [name = "", property] = parameter.split(".");
    const [, value] =
      new RegExp(`^param ${name} = (.*(?:\n(?!param).*)*)`, "m").exec(readFileSync(join(root, file), "utf8")) ?? [];
    expect(value).toBeDefined();
    if (property) expect(value).toMatch(new RegExp(`^  ${property}: `, "m"));
  },
);
