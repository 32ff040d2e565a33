// The SBOM and the licences that the Dockerfile puts into each image, compared with what the bundle really contains.
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Component } from "../../tools/bundle/component.ts";
import { findForbidden } from "../../tools/bundle/licences.ts";
import { programNames } from "../../tools/bundle/programs.ts";
import { root } from "../support/processes.ts";
import { findPythonWith } from "../support/python-tools.ts";

interface Document {
  readonly packages: readonly {
    readonly SPDXID: string;
    readonly name: string;
    readonly versionInfo?: string;
    readonly externalRefs?: readonly { readonly referenceLocator: string }[];
  }[];
  readonly relationships: readonly { readonly spdxElementId: string; readonly relatedSpdxElement: string }[];
}

/** Folders of the packages whose code is in a file that esbuild does not bundle. */
const inAssets: Readonly<Record<string, readonly string[]>> = {
  welcome: ["node_modules/@azure/msal-browser", "node_modules/@azure/msal-common"],
  "hello-wasm": ["node_modules/assemblyscript"],
};

/** A phrase of each licence, which its text has and no other part of the notices needs to have. */
const phrases: Readonly<Record<string, RegExp>> = {
  MIT: /Permission is hereby granted, free of charge/,
  ISC: /Permission to use, copy, modify,? and\/or distribute/,
  "0BSD": /Permission to use, copy, modify,? and\/or distribute/,
  "Apache-2.0": /Apache License\s+Version 2\.0/,
  "BSD-2-Clause": /Redistributions in binary form must/,
  "BSD-3-Clause": /Redistributions in binary form must/,
  "BlueOak-1.0.0": /Blue Oak Model License/,
  "CC0-1.0": /dedicated all\s+copyright/,
  "Unicode-3.0": /UNICODE LICENSE V3/,
  Unlicense: /free and unencumbered/,
  Zlib: /This software is provided 'as-is'/,
  blessing: /public domain/,
  "LGPL-2.1-or-later": /GNU Lesser General Public\s+License/i,
  "GPL-3.0-or-later WITH GCC-exception-3.1": /GCC Runtime Library Exception/i,
};

const rule = `\n\n${"-".repeat(80)}\n\n`;

/** The packages of THIRD-PARTY-NOTICES.txt that lack the text of a licence that they name. */
function findWithoutText(notices: string): string[] {
  return notices
    .split(rule)
    .slice(1, -1) // the introduction, and comments of the code
    .flatMap((section) => {
      const packages = [...section.matchAll(/^(\S.*)\nLicence: (.+)\nSources: .+(?:\n\n|$)/gm)];
      const last = packages.at(-1);
      const text = last ? section.slice(last.index + last[0].length) : "";
      return packages.flatMap(([, name = "", expression = ""]) => {
        const licences = expression.replaceAll(/[()]/g, "").split(/ AND | OR /);
        return licences.every((licence) => phrases[licence]?.test(text)) ? [] : name;
      });
    });
}

const run = promisify(execFile);
const read = (file: string) => readFileSync(join(root, file), "utf8");
const versionOf = (folder: string) => JSON.parse(read(join(folder, "package.json"))).version;
const folder = mkdtempSync(join(tmpdir(), "sbom-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

// The programs that name the packages of libraries belong to Debian and to what derives from it.
describe.skipIf(!existsSync("/usr/bin/dpkg-query")).each(programNames)("the description of the image of %s", (name) => {
  const image = join(folder, name);
  let document: Document;
  let notices: string;

  beforeAll(async () => {
    mkdirSync(image);
    for (const tool of ["bundle", "sbom"])
      await run(process.execPath, [`tools/bundle/${tool}.ts`, name, image], { cwd: root });
    document = JSON.parse(readFileSync(join(image, "sbom.spdx.json"), "utf8"));
    notices = readFileSync(join(image, "THIRD-PARTY-NOTICES.txt"), "utf8");
  });

  /** The folders of the packages whose files esbuild names in the text of the bundle. */
  function listBundled(): string[] {
    const text = readFileSync(join(image, "main.mjs"), "utf8");
    const files = text.matchAll(/^(?:\/\/ | {2}")(node_modules\/[^"\n]+)(?:"\(.*\{)?$/gm);
    return [...files].flatMap(([, file = ""]) => /^.*node_modules\/(@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0] ?? []);
  }
  const listPackages = (kind: string, ofNode = false) => {
    const node = document.packages.find(({ name }) => name === "node");
    const parts = new Set(
      document.relationships.flatMap((each) => (each.spdxElementId === node?.SPDXID ? each.relatedSpdxElement : [])),
    );
    return document.packages.flatMap(({ SPDXID, name, versionInfo, externalRefs = [] }) =>
      parts.has(SPDXID) === ofNode &&
      externalRefs.some(({ referenceLocator }) => referenceLocator.startsWith(`pkg:${kind}/`))
        ? `${name} ${versionInfo ?? ""}`.trim()
        : [],
    );
  };

  test("names each npm package whose code is in the image, in its version, and no other", () => {
    const folders = new Set([...listBundled(), ...(inAssets[name] ?? [])]);
    const bundled = new Set([...folders].map((each) => `${each.replace(/.*node_modules\//, "")} ${versionOf(each)}`));
    expect(bundled.size).toBeGreaterThan(15);
    expect(listPackages("npm").sort()).toEqual([...bundled].sort());
  });

  test("names Node in its version, and packages that own every library that Node is linked with", () => {
    expect(listPackages("generic")).toEqual([`node ${process.versions.node}`]);
    const owned = listPackages("deb").flatMap((each) =>
      execFileSync("dpkg-query", ["--listfiles", each.replace(/ .*/, "")], { encoding: "utf8" }).split("\n"),
    );
    const linked = execFileSync("ldd", [process.execPath], { encoding: "utf8" }).match(/(?<=\/)[\w.+-]+(?= \()/g) ?? [];
    expect(linked.length).toBeGreaterThan(4);
    for (const library of linked)
      expect(
        owned.some((file) => file.endsWith(`/${library}`)),
        library,
      ).toBe(true);
  });

  test("names each part of Node that process.versions has, in its version, and what else Node's LICENSE names", () => {
    const { node, modules, napi, cldr, tz, unicode, ...versions } = process.versions; // no code, or data of ICU
    const parts = [...listPackages("generic", true), ...listPackages("npm", true)];
    const versioned = parts.flatMap((part) => / (\S+)$/.exec(part)?.[1] ?? []);
    expect(versioned.sort()).toEqual(Object.values(versions).filter(Boolean).sort());
    expect(parts).toEqual(expect.arrayContaining([`OpenSSL ${versions.openssl}`, `undici ${versions.undici}`, "swc"]));
    const license = read(join("node_modules", process.execPath.replace(/.*node_modules\//, ""), "../../LICENSE"));
    for (const [, part, path] of license.matchAll(/^- (.+), located at (\S+), is licensed/gm)) {
      // Tools and tests, programs beside Node, and libraries that Node is built without
      const isAbsent = /^(test|tools)\/|\/(corepack|googletest|npm|ngtcp2\/\w*\/?)$/.test(path ?? "");
      if (!isAbsent) expect(parts.map((each) => each.replace(/ .*/, "").toLowerCase())).toContain(part?.toLowerCase());
    }
    expect(document.packages.flatMap(({ externalRefs = [] }) => externalRefs)).toContainEqual(
      expect.objectContaining({ referenceLocator: `cpe:2.3:a:openssl:openssl:${versions.openssl}:*:*:*:*:*:*:*` }),
    );
  });

  test("is a valid SPDX document, in which each package belongs to the image, and its purl is encoded", async () => {
    const python = await findPythonWith("spdx-tools");
    const validator = ["-m", "spdx_tools.spdx.clitools.pyspdxtools"];
    await run(python, [...validator, "--infile", join(image, "sbom.spdx.json")]);
    const contained = document.relationships.map(({ relatedSpdxElement }) => relatedSpdxElement);
    expect(contained.sort()).toEqual(document.packages.map(({ SPDXID }) => SPDXID).sort());
    const refs = document.packages.flatMap(({ externalRefs = [] }) => externalRefs.map((ref) => ref.referenceLocator));
    // https://github.com/package-url/purl-spec: of the punctuation, names and versions have these only.
    for (const purl of refs.filter((ref) => ref.startsWith("pkg:")))
      expect(purl).toMatch(/^pkg:[a-z]+\/([\w.~%-]+\/)?[\w.~%-]+(@[\w.~:%-]+)?(\?arch=\w+&distro=[\w.-]+)?$/);
    expect(refs).toContainEqual(expect.stringMatching(/^pkg:deb\/\w+\/libstdc%2B%2B6@/));
  }, 120_000);

  test("has the same bytes every time, and the time of the sources in the SBOM", async () => {
    const files = ["sbom.spdx.json", "THIRD-PARTY-NOTICES.txt"];
    const before = files.map((file) => readFileSync(join(image, file), "utf8"));
    const describe = (env: NodeJS.ProcessEnv) =>
      run(process.execPath, ["tools/bundle/sbom.ts", name, image], { cwd: root, env: { ...process.env, ...env } });
    await describe({});
    expect(files.map((file) => readFileSync(join(image, file), "utf8"))).toEqual(before);
    await describe({ SOURCE_DATE_EPOCH: "1700000000" });
    const { creationInfo, documentNamespace } = JSON.parse(readFileSync(join(image, "sbom.spdx.json"), "utf8"));
    expect(creationInfo.created).toBe("2023-11-14T22:13:20Z");
    expect(documentNamespace).not.toBe(JSON.parse(before[0] ?? "").documentNamespace);
  });

  test("has the licence of the repository and, for each package of the SBOM, its name and the text of its licence", () => {
    for (const kind of ["npm", "generic", "deb"])
      for (const each of [...listPackages(kind), ...listPackages(kind, true)])
        expect(notices).toContain(`\n${each}\nLicence: `);
    expect(findWithoutText(notices)).toEqual([]);
    const files = [
      "LICENSE",
      join("node_modules", process.execPath.replace(/.*node_modules\//, ""), "../../LICENSE"),
      ...[...listBundled(), ...(inAssets[name] ?? [])].flatMap((each) =>
        ["LICENSE", "LICENSE.md", "LICENSE.txt", "license", "NOTICE", "NOTICE.txt"].map((file) => join(each, file)),
      ),
    ].filter((file) => existsSync(join(root, file)));
    expect(files.length).toBeGreaterThan(15);
    for (const file of files) expect(notices.includes(read(file).trim()), file).toBe(true);
  });

  test("the check of the notices finds each text that is missing", () => {
    const sections = notices.split(rule);
    expect(sections.length).toBeGreaterThan(15);
    for (const section of sections.slice(1, -1)) {
      const heads = section.match(/^\S.*\nLicence: .+\nSources: .+$/gm) ?? [];
      const emptied = sections.map((each) => (each === section ? heads.join("\n\n") : each)).join(rule);
      expect(findWithoutText(emptied)).toEqual(heads.map((head) => head.replace(/\n.*/s, "")));
    }
  });
});

test("the compiled file of msal-browser contains the two packages that the SBOM of welcome names for it", () => {
  const readable = read("node_modules/@azure/msal-browser/lib/msal-browser.js"); // what the minified file comes from
  const banners = new Set(
    [...readable.matchAll(/\/\*! (\S+) v(\S+) /g)].map(([, name, version]) => `${name} ${version}`),
  );
  const expected = ["@azure/msal-browser", "@azure/msal-common"].map(
    (name) => `${name} ${versionOf(`node_modules/${name}`)}`,
  );
  expect([...banners].sort()).toEqual(expected);
});

describe.skipIf(!existsSync("/usr/bin/dpkg-query"))("the build of an image", () => {
  /** Runs sbom.ts after a change to what a function of a module returns. */
  async function describeAfter(module: string, name: string, change: string) {
    const image = mkdtempSync(join(folder, "rejected-"));
    const code = `
      import module from "node:${module}";
      import { syncBuiltinESMExports } from "node:module";
      const original = module.${name};
      const change = ${change};
      module.${name} = (...inputs) => change(original(...inputs), String(inputs[0]));
      syncBuiltinESMExports();
    `;
    const preload = `data:text/javascript,${encodeURIComponent(code)}`;
    const flags = ["--import", preload, "tools/bundle/sbom.ts", "group-lister", image];
    const { code: status, stderr } = await run(process.execPath, flags, { cwd: root }).then(
      () => ({ code: 0, stderr: "" }),
      (error: { code: number; stderr: string }) => error,
    );
    return { status, stderr, files: readdirSync(image) };
  }

  test("succeeds without a change", async () => {
    const { status, files } = await describeAfter("fs", "readFileSync", "(result) => result");
    expect(status).toBe(0);
    expect(files.sort()).toEqual(["THIRD-PARTY-NOTICES.txt", "sbom.spdx.json"]);
  });

  const inFile = (file: string, from: string, to: string) =>
    `(text, path) => path.endsWith(${JSON.stringify(file)}) ? text.replaceAll(${JSON.stringify(from)}, ${JSON.stringify(to)}) : text`;

  test.each([
    [
      "an npm package with a licence that is not allowed",
      "fs",
      "readFileSync",
      inFile("package-lock.json", '"license": "MIT"', '"license": "AGPL-3.0-only"'),
      /^express 5\.\S+ has the licence AGPL-3\.0-only, which tools\/bundle\/licences\.ts does not allow/m,
    ],
    [
      "an npm package with a licence of unknown text and no file",
      "fs",
      "readdirSync",
      '(files, path) => path.endsWith("node_modules/ms") ? [] : files',
      /node_modules\/ms names nobody who has the copyright/,
    ],
    [
      "a copyright line by hand for a version that is gone",
      "fs",
      "readFileSync",
      inFile("package-lock.json", '"version": "1.1.0"', '"version": "1.1.1"'),
      /package-lock\.json has no semaphore@1\.1\.0/,
    ],
    [
      "a part of Node that nobody has looked at",
      "fs",
      "readFileSync",
      inFile("/LICENSE", "- Acorn, located", "- Mystery, located"),
      /Node contains Mystery\. Add each with its licence to tools\/bundle\/node-parts\.ts/,
    ],
    [
      "a part of Node whose text Node's LICENSE lacks",
      "fs",
      "readFileSync",
      inFile("/LICENSE", "- OpenSSL, located", "- V8, located"),
      /Node's LICENSE lacks OpenSSL/,
    ],
    [
      "a library of an unknown source",
      "child_process",
      "execFileSync",
      '(text) => text.replace("\\tglibc\\t", "\\tmusl\\t")',
      /Node is linked with a library of musl\. Add its licence/,
    ],
  ])("fails for %s", async (_, module, name, change, message) => {
    const { status, stderr, files } = await describeAfter(module, name, change);
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
    expect(files).toEqual([]);
  });
});

describe("a licence", () => {
  const component = (licence: string): Component => ({
    name: "a",
    version: "1.0.0",
    licence,
    purl: "pkg:npm/a@1.0.0",
    download: "https://registry.example.com/a.tgz",
    notices: [],
  });

  test.each([
    "AGPL-3.0-only",
    "GPL-3.0-or-later",
    "SSPL-1.0",
    "UNLICENSED",
    "NOASSERTION",
    "(MIT AND BUSL-1.1)",
    "(GPL-2.0-only OR SSPL-1.0)",
    "(MIT OR GPL-3.0-only) AND (SSPL-1.0)",
    "(MIT OR GPL-3.0-only) AND (AGPL-3.0-only)",
    "MIT OR GPL-3.0-only AND SSPL-1.0",
    "toString",
  ])("%s is not allowed in an image", (licence) =>
    expect(findForbidden([component(licence)])).toEqual([
      expect.stringContaining(`a 1.0.0 has the licence ${licence}`),
    ]),
  );

  test.each([
    "MIT",
    "(Apache-2.0 AND BSD-3-Clause)",
    "(MIT OR GPL-3.0-only)",
    "GPL-3.0-or-later WITH GCC-exception-3.1",
  ])("%s is allowed in an image", (licence) => expect(findForbidden([component(licence)])).toEqual([]));
});
