// The reference pages list the errors of the services.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../support/processes.ts";

const read = (pattern: string) =>
  execFileSync("git", ["ls-files", pattern], { cwd: root })
    .toString()
    .trim()
    .split("\n")
    .map((file) => readFileSync(join(root, file), "utf8"))
    .join("\n");

const sources = read("services/**.ts");
const thrown = [...sources.matchAll(/new (?:Problem\(\s*\w+,|AzureError\()\s*"([a-z-]+)"/g)].map(([, code]) => code);
/** Rows of the tables whose second column is headed "`type` ends with". */
const listed = [...read("docs/reference/*.md").matchAll(/^\| \d{3}[\d, ]* \| ([^|]+) \|/gm)].flatMap(([, cell = ""]) =>
  [...cell.matchAll(/`([a-z-]+)`/g)].map(([, code]) => code),
);

test("the reference pages list every problem type that a service throws, and no other", () => {
  expect(thrown.length).toBeGreaterThan(20);
  expect([...new Set(listed)].sort()).toEqual([...new Set(thrown)].sort());
});
