// Describes what is in a program's image, into the folder of its bundle: sbom.spdx.json for scanners, and
// THIRD-PARTY-NOTICES.txt with the licences. The Dockerfile runs it: node tools/bundle/sbom.ts PROGRAM FOLDER
//
// Scanners of images find no package in a bundle. They read the packages in a file with the suffix .spdx.json instead:
// https://trivy.dev/latest/docs/supply-chain/sbom/
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeLibraries, describeNode, readSystem } from "./base-image.ts";
import type { Component } from "./component.ts";
import { findForbidden } from "./licences.ts";
import { readNpmPackages } from "./npm-packages.ts";
import { readArguments, root } from "./programs.ts";
import { describeAsSpdx } from "./spdx.ts";

const { program, folder } = readArguments();
const system = readSystem();
const libraries = describeLibraries(system);
const { packages, comments } = await readNpmPackages(program);
const others = [describeNode(), ...packages];
const all = [...others, ...libraries].flatMap((component) => [component, ...(component.parts ?? [])]);
const forbidden = findForbidden(all);
if (forbidden.length > 0) {
  console.error(forbidden.join("\n"));
  process.exit(1);
}
const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
// The same sources make the same bytes, so the time is that of the sources, in seconds, and 1970 when nobody passes it:
// https://reproducible-builds.org/docs/source-date-epoch/
const created = new Date(Number(process.env.SOURCE_DATE_EPOCH ?? 0) * 1_000);
const document = describeAsSpdx({ name: program.name, version, licence: license, created }, system, libraries, others);
writeFileSync(join(folder, "sbom.spdx.json"), `${JSON.stringify(document, null, 1)}\n`);
writeFileSync(join(folder, "THIRD-PARTY-NOTICES.txt"), writeNotices());

function writeNotices(): string {
  const license = readFileSync(join(root, "LICENSE"), "utf8").trim();
  const introduction = `The image of ${program.name} ${version} has the code of this repository under this licence:

${license}

It also has the software below. "Sources" names where to get the sources.`;
  // Software that comes with the same texts shares them.
  const sections = Object.entries(
    Object.groupBy(all, ({ notices }) => notices.map((text) => text.trim()).join("\n\n")),
  ).map(([texts, components = []]) => `${components.map(describe).join("\n\n")}\n\n${texts}`);
  const kept = `Comments in the code of the npm packages that ask to be kept\n\n${comments.trim()}`;
  return `${[introduction, ...sections, kept].join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}

function describe({ name, version, licence, download }: Component): string {
  return `${`${name} ${version}`.trim()}\nLicence: ${licence}\nSources: ${download}`;
}
