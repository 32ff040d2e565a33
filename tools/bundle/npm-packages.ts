// The npm packages whose code is in a program's image.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { Component } from "./component.ts";
import { readMitText, spell } from "./licences.ts";
import { describeBundle, type Program, root } from "./programs.ts";

interface LockedPackage {
  readonly version: string;
  readonly resolved: string;
  readonly integrity: string;
  readonly license?: string;
}

/** What packages say outside their package.json, by version: read them again when the version changes. */
const byHand: Readonly<Record<string, { licence: string; copyright: string }>> = {
  "semaphore@1.1.0": { licence: "MIT", copyright: "Copyright (c) the authors of semaphore.js" }, // its README.md
};

const readApacheText = () => read("node_modules/@opentelemetry/api/LICENSE");

/** The texts of licences that packages name without including them. */
const standardTexts: Readonly<Record<string, () => string[]>> = {
  MIT: () => [readMitText()],
  "Apache-2.0": () => [readApacheText()],
  // @bufbuild/protobuf: parts are from Google's protobuf.
  "(Apache-2.0 AND BSD-3-Clause)": () => [readApacheText(), read("node_modules/google-protobuf/LICENSE.md")],
};

/**
 * @returns the packages, and the comments in their code that ask to be kept. The bundle itself has no comments of that
 *   kind.
 */
export async function readNpmPackages(program: Program): Promise<{ packages: Component[]; comments: string }> {
  const { packages: locked }: { packages: Record<string, LockedPackage> } = JSON.parse(read("package-lock.json"));
  const { metafile, outputFiles } = await build({
    ...describeBundle(program, "image"),
    legalComments: "external",
    write: false,
    metafile: true,
  });
  const names = new Set(Object.entries(locked).map(([folder, { version }]) => `${nameOf(folder)}@${version}`));
  const outdated = Object.keys(byHand).filter((name) => !names.has(name));
  if (outdated.length > 0) {
    throw new Error(`package-lock.json has no ${outdated.join(", ")}. Read its licence, and correct npm-packages.ts.`);
  }
  // A file that only has types, or whose code nothing uses, contributes no bytes.
  const files = Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? file : [])),
  );
  const folders = new Set([...files.flatMap((file) => findPackage(file) ?? []), ...(program.inAssets ?? [])]);
  const packages = [...folders].sort().map((folder) => {
    const entry = locked[folder];
    if (!entry) throw new Error(`package-lock.json has no ${folder}. Run \`npm ci\`.`);
    return describe(folder, entry);
  });
  return {
    packages: [...new Map(packages.map((each) => [each.purl, each])).values()], // npm may install a version twice
    comments: outputFiles.flatMap(({ path, text }) => (path.endsWith(".LEGAL.txt") ? text : [])).join("\n"),
  };
}

/** The folder of the package that a file belongs to; undefined for code of this repository. */
function findPackage(file: string): string | undefined {
  return /^.*node_modules\/(@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0];
}

function nameOf(folder: string): string {
  return folder.replace(/^.*node_modules\//, "");
}

function describe(folder: string, { version, resolved, integrity, license }: LockedPackage): Component {
  const name = nameOf(folder);
  const licence = byHand[`${name}@${version}`]?.licence ?? spell(license ?? "NOASSERTION");
  return {
    name,
    version,
    licence,
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    download: resolved,
    sha512: Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex"),
    notices: readNotices(folder, licence),
  };
}

/** The files of a package with its licence; or, if it has none, its copyright lines and the text of its licence. */
function readNotices(folder: string, licence: string): string[] {
  const files = readdirSync(join(root, folder)).sort();
  const texts = (names: RegExp) => files.filter((file) => names.test(file)).map((file) => read(join(folder, file)));
  const notices = texts(/^notice/i);
  const licences = texts(/^(licen[cs]e|copying)/i);
  if (licences.length > 0) return [...licences, ...notices];
  const readme = texts(/^readme/i).filter((text) => text.includes("Permission is hereby granted"));
  if (readme.length > 0) return [...readme, ...notices];
  return [findCopyright(folder), ...readStandardText(folder, licence), ...notices];
}

function readStandardText(folder: string, licence: string): string[] {
  const text = standardTexts[licence]?.();
  if (!text) throw new Error(`${folder} does not include its licence. Add the text of ${licence} to npm-packages.ts.`);
  return text;
}

/** The copyright lines in the files of a package; or, if there are none, its author. */
function findCopyright(folder: string): string {
  const { name, version, author } = JSON.parse(read(join(folder, "package.json")));
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).filter((file) =>
    /^(?!.*node_modules\/).*\.(js|ts)$/.test(file),
  );
  const lines = files.flatMap((file) => read(join(folder, file)).match(/(?<=^\W*)Copyright (\(c\) |\d{4}).*/gm) ?? []);
  if (lines.length > 0) return [...new Set(lines.map((line) => line.trim()))].sort().join("\n");
  if (author) return `Copyright (c) ${author.name ?? author}`;
  const known = byHand[`${name}@${version}`];
  if (!known) throw new Error(`${folder} names nobody who has the copyright. Add it to byHand in npm-packages.ts.`);
  return known.copyright;
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}
