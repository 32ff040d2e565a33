// The SBOM and the licences that the Dockerfile puts into each image, compared with what the bundle really contains.
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
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
    readonly versionInfo: string;
    readonly externalRefs?: readonly { readonly referenceLocator: string }[];
  }[];
  readonly relationships: readonly { readonly spdxElementId: string; readonly relatedSpdxElement: string }[];
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
  const listPackages = (kind: string) =>
    document.packages.flatMap(({ name, versionInfo, externalRefs = [] }) =>
      externalRefs.some(({ referenceLocator }) => referenceLocator.startsWith(`pkg:${kind}/`))
        ? `${name} ${versionInfo}`
        : [],
    );

  test("names each npm package whose code is in the image, in its version, and no other", () => {
    const inAssets: Record<string, string[]> = {
      welcome: ["@azure/msal-browser", "@azure/msal-common"],
      "hello-wasm": ["assemblyscript"],
    };
    const folders = new Set([...listBundled(), ...(inAssets[name] ?? []).map((name) => `node_modules/${name}`)]);
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

  test("is a valid SPDX document, in which each package belongs to the image", async () => {
    const python = await findPythonWith("spdx-tools");
    const validator = ["-m", "spdx_tools.spdx.clitools.pyspdxtools"];
    await run(python, [...validator, "--infile", join(image, "sbom.spdx.json")]);
    const contained = document.relationships.map(({ relatedSpdxElement }) => relatedSpdxElement);
    expect(contained.sort()).toEqual(document.packages.map(({ SPDXID }) => SPDXID).sort());
  }, 120_000);

  test("has the same bytes every time, and the time of the sources in the SBOM", async () => {
    const files = ["sbom.spdx.json", "THIRD-PARTY-NOTICES.txt"];
    const before = files.map((file) => readFileSync(join(image, file), "utf8"));
    const describe = (env: NodeJS.ProcessEnv) =>
      run(process.execPath, ["tools/bundle/sbom.ts", name, image], { cwd: root, env: { ...process.env, ...env } });
    await describe({});
    expect(files.map((file) => readFileSync(join(image, file), "utf8"))).toEqual(before);
    await describe({ SOURCE_DATE_EPOCH: "1700000000" });
    const { creationInfo } = JSON.parse(readFileSync(join(image, "sbom.spdx.json"), "utf8"));
    expect(creationInfo.created).toBe("2023-11-14T22:13:20Z");
  });

  test("has the licence of the repository and, for each package of the SBOM, its name and the files with its licence", () => {
    for (const kind of ["npm", "generic", "deb"])
      for (const each of listPackages(kind)) expect(notices).toContain(`\n${each}\nLicence: `);
    const files = [
      "LICENSE",
      join("node_modules", process.execPath.replace(/.*node_modules\//, ""), "../../LICENSE"),
      ...listBundled().flatMap((each) =>
        ["LICENSE", "LICENSE.md", "LICENSE.txt", "license", "NOTICE", "NOTICE.txt"].map((file) => join(each, file)),
      ),
    ].filter((file) => existsSync(join(root, file)));
    expect(files.length).toBeGreaterThan(15);
    for (const file of files) expect(notices.includes(read(file).trim()), file).toBe(true);
    expect(notices).toContain("GNU Lesser General Public License");
    expect(notices).toContain("GCC Runtime Library Exception");
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
