// The figures of the verification page that files of the repository hold.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { root } from "../support/processes.ts";

const read = (file: string) => readFileSync(join(root, file), "utf8");
const page = read("docs/verification.md");
const ledger: Record<string, { mutants: number; killed: number }> = parse(read("test/mutation/ledger.yaml"));

/** Such as "1,219 of 1,228", of the files in these folders. */
function countMutants(folders: readonly string[]): string {
  const entries = Object.entries(ledger).filter(([file]) => folders.some((folder) => file.startsWith(`${folder}/`)));
  const sum = (what: "killed" | "mutants") => entries.reduce((total, [, entry]) => total + entry[what], 0);
  return [sum("killed"), sum("mutants")].map((number) => number.toLocaleString("en")).join(" of ");
}

const rows = [...page.matchAll(/^\|[^|]+\| (`services\/[^|]+) \| ([\d,]+ of [\d,]+) \|$/gm)];

test.each(rows.map(([, folders = "", figures = ""]) => [folders, figures]))(
  "the mutants of %s are those of the ledger",
  (folders, figures) => {
    expect(figures).toBe(countMutants([...folders.matchAll(/`([^`]+)`/g)].map(([, folder = ""]) => folder)));
  },
);

test("the sums of the histories are right, and the README has them", () => {
  const [, section = ""] = page.split("### Histories\n");
  const table = section.split("\n### ")[0] ?? "";
  const lines = [...table.matchAll(/^\| (.+) \| ([\d,]+) \| ([\d,]+) \| (\d+)\b.*\| (\d+) \|$/gm)];
  const numbers = lines.map(([, , ...figures]) => figures.map((figure) => Number(figure.replaceAll(",", ""))));
  const scenarios = numbers.slice(0, -1);
  const sums = [0, 1, 2, 3].map((column) => scenarios.reduce((sum, row) => sum + (row[column] ?? 0), 0));
  expect(scenarios).toHaveLength(6);
  expect(numbers.at(-1)).toEqual(sums);
  const isLinearizable = lines.slice(0, -1).map(([, text = ""]) => text.endsWith("| Linearizable"));
  const count = (whole: boolean) =>
    scenarios.reduce((sum, [histories = 0], index) => sum + (isLinearizable[index] === whole ? histories : 0), 0);
  const readme = read("README.md");
  expect(readme).toContain(`${sums[1]?.toLocaleString("en")} operations of concurrent clients; ${sums[2]} faults:`);
  expect(readme).toContain(
    `${count(true)} of ${count(true)} histories linearizable, and ${count(false)} of ${count(false)} `,
  );
});

test("the rows name every folder of the ledger, and the sum of all mutants is that of the page", () => {
  const named = rows.map(([, folders]) => folders).join();
  for (const file of Object.keys(ledger)) expect(named).toContain(`\`${file.split("/", 2).join("/")}\``);
  expect(page).toContain(`kill ${countMutants(["services"])} mutants`);
});
