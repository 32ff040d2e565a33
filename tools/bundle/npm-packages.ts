// The npm packages whose code is in a program's image.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { Component } from "./component.ts";
import { describeBundle, type Program, root } from "./programs.ts";

interface LockedPackage {
  readonly version: string;
  readonly resolved: string;
  readonly integrity: string;
  readonly license?: string;
}

/** The licences of packages whose package.json has none, or has it in another spelling than SPDX. */
const licences: Readonly<Record<string, string>> = { "@dapr/dapr": "Apache-2.0", semaphore: "MIT" };

/** Files with the text of licences that packages name without including it. */
const texts = { mit: "LICENSE", apache: "node_modules/@opentelemetry/api/LICENSE" };

/** Packages without a file for their licence: another file with its text, and who has the copyright. */
const withoutFile: Readonly<Record<string, { text: string; copyright?: string }>> = {
  "@bufbuild/protobuf": { text: texts.apache, copyright: "2021-2026 Buf Technologies, Inc., and 2008 Google Inc." },
  "@connectrpc/connect": { text: texts.apache, copyright: "2021-2026 The Connect Authors" },
  "@connectrpc/connect-node": { text: texts.apache, copyright: "2021-2026 The Connect Authors" },
  "@dapr/dapr": { text: texts.apache, copyright: "2022 The Dapr Authors" },
  "cookie-signature": { text: "node_modules/@dapr/dapr/node_modules/cookie-signature/Readme.md" },
  priorityqueuejs: { text: texts.mit, copyright: "Jano González" },
  semaphore: { text: texts.mit, copyright: "the authors of semaphore.js" },
  tr46: { text: texts.mit, copyright: "Sebastian Mayr" },
};

/** Further files of packages with terms of their own. */
const moreTexts: Readonly<Record<string, string>> = {
  "@bufbuild/protobuf": "node_modules/google-protobuf/LICENSE.md", // parts are from Google's protobuf, BSD-3-Clause
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

function describe(folder: string, { version, resolved, integrity, license }: LockedPackage): Component {
  const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
  return {
    name,
    version,
    licence: licences[name] ?? license ?? "NOASSERTION",
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    download: resolved,
    sha512: Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex"),
    notices: readNotices(folder, name),
  };
}

function readNotices(folder: string, name: string): string[] {
  const files = readdirSync(join(root, folder))
    .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
    .sort()
    .map((file) => read(join(folder, file)));
  const more = moreTexts[name] ? [read(moreTexts[name])] : [];
  if (files.length > 0) return [...files, ...more];
  const known = withoutFile[name];
  if (!known) throw new Error(`${folder} has no file with its licence. Add it to withoutFile in npm-packages.ts.`);
  const text = known.copyright ? read(known.text).replace(/^MIT License\s+Copyright .*\s+/, "") : read(known.text);
  return [...(known.copyright ? [`Copyright (c) ${known.copyright}`] : []), text, ...more];
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}
