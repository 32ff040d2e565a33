// The comments of every source and configuration file, except those of the Go modules.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../support/processes.ts";

const patterns = ["*.ts", "*.mjs", "*.yaml", "*.yml", "*.sh", "*Dockerfile"];
const exempt = [":!tools/daprd/module", ":!test/*/tools"];
const listing = ["ls-files", "--cached", "--others", "--exclude-standard", ...patterns, ...exempt];
const files = execFileSync("git", listing, { cwd: root })
  .toString()
  .split("\n")
  .filter((file) => file !== "" && existsSync(join(root, file)));

test("comments wrap at 120 columns, except lines with a URL", () => {
  const long = files.flatMap((file) =>
    readFileSync(join(root, file), "utf8")
      .split("\n")
      .map((line, index) => ({ line, place: `${file}:${index + 1}` }))
      .filter(({ line }) => line.length > 120 && /^\s*(\/\/|\/\*|\*|#)/.test(line) && !line.includes("://"))
      .map(({ place }) => place),
  );
  expect(files).not.toEqual([]);
  expect(long).toEqual([]);
});
