// A release: the version that files name. release.yml publishes it.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "./support/processes.ts";

const read = (file: string) => readFileSync(join(root, file), "utf8");
const { version } = JSON.parse(read("package.json"));

test("manifests, parameter files and pages that name an image of the suite give it the version of package.json", () => {
  const images = /(?<!\/\/)\b(?:state-api|group-lister|welcome|hello-wasm|azure-stand-in|cosmos-check):(\d[\w.-]*\w)/g;
  const files = ["docker-compose*.yml", "infra", "docs", "README.md"];
  const listed = execFileSync("git", ["ls-files", ...files], { cwd: root, encoding: "utf8" })
    .trim()
    .split("\n");
  const named = listed.flatMap((file) =>
    [...read(file).matchAll(images)].map(([image, tag]) => ({ file, image, isRelease: tag === version })),
  );
  expect(named.filter(({ isRelease }) => !isRelease)).toEqual([]);
  const expected = [
    "docker-compose.yml",
    "infra/kubernetes/base/welcome/welcome.yaml",
    "infra/bicep/parameters/welcome.bicepparam",
  ];
  expect(named.map(({ file }) => file)).toEqual(expect.arrayContaining(expected));
});

test("package-lock.json has the version of package.json", () => {
  const lock = JSON.parse(read("package-lock.json"));
  expect([lock.version, lock.packages[""].version]).toEqual([version, version]);
});
