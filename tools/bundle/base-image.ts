// What an image has from its base image: Node, and the libraries of Debian that Node is linked with.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Component } from "./component.ts";
import { describeNodeParts } from "./node-parts.ts";

/** The operating system that packages come from, as vulnerability databases name it. */
export interface System {
  /** e.g. debian */
  readonly id: string;
  /** e.g. 12 */
  readonly version: string;
}

/** Node and its parts. Its LICENSE has the texts of nearly all, such as V8, OpenSSL and ICU. */
export function describeNode(): Component {
  const version = process.versions.node;
  const file = join(dirname(process.execPath), "../LICENSE"); // as in the archives of nodejs.org
  if (!existsSync(file)) {
    throw new Error(`${file} is missing. Use a Node from nodejs.org or its image, which has its licences there.`);
  }
  const license = readFileSync(file, "utf8");
  return {
    name: "node",
    version,
    licence: "MIT",
    purl: `pkg:generic/node@${version}`,
    download: `https://nodejs.org/dist/v${version}/node-v${version}.tar.gz`,
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
    notices: [license],
    parts: describeNodeParts(license),
  };
}

export function readSystem(): System {
  const release = readFileSync("/etc/os-release", "utf8");
  const read = (name: string) => new RegExp(`^${name}="?([^"\n]*)`, "m").exec(release)?.[1] ?? "";
  return { id: read("ID"), version: read("VERSION_ID") };
}

/** The Debian packages of the libraries that this process's Node is linked with. */
export function describeLibraries({ id, version: systemVersion }: System): Component[] {
  const packages = new Set(listLibraries().map(findPackage));
  return [...packages].sort().map((fullName) => {
    const fields = ["Package", "Version", "Architecture", "source:Package", "source:Version"];
    const format = fields.map((field) => `\${${field}}`).join("\t");
    const shown = execFileSync("dpkg-query", ["--show", "--showformat", format, fullName], { encoding: "utf8" });
    const [name = "", version = "", architecture = "", source = "", sourceVersion = ""] = shown.split("\t");
    const copyright = readFileSync(`/usr/share/doc/${name}/copyright`, "utf8");
    const standard = new Set(copyright.match(/\/usr\/share\/common-licenses\/[\w.-]*\w/g));
    return {
      name,
      version,
      licence: licenceOf(source),
      purl: `pkg:deb/${id}/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=${id}-${systemVersion}`,
      download:
        id === "debian"
          ? `https://snapshot.debian.org/package/${source}/${encodeURIComponent(sourceVersion)}/`
          : "NOASSERTION",
      builtFrom: `${source} ${sourceVersion}`,
      notices: [copyright, ...[...standard].sort().map((file) => readFileSync(file, "utf8"))],
    };
  });
}

/** The licence of the libraries of a source package, which may have programs under others. */
function licenceOf(source: string): string {
  if (source === "glibc") return "LGPL-2.1-or-later";
  if (/^gcc-\d+$/.test(source)) return "GPL-3.0-or-later WITH GCC-exception-3.1";
  throw new Error(`Node is linked with a library of ${source}. Add its licence to licenceOf in base-image.ts.`);
}

/** The files that the dynamic linker loads for Node. */
function listLibraries(): string[] {
  return execFileSync("ldd", [process.execPath], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
}

/** The Debian package of a file, such as libc6:amd64. */
function findPackage(file: string): string {
  // dpkg may know a file below /lib by its name below /usr/lib, and the other way round.
  const path = file.replace(/^\/usr(?=\/lib)/, "");
  const { stdout, error } = spawnSync("dpkg-query", ["--search", path, `/usr${path}`], { encoding: "utf8" });
  if (error) throw new Error(`dpkg-query names the packages of Node's libraries, and this image lacks it: ${error}`);
  const [, name] = /^(\S+): /m.exec(stdout) ?? [];
  if (!name) throw new Error(`No Debian package has ${file}, which Node is linked with.`);
  return name;
}
