// The parts that are compiled into Node, and their licences. process.versions has the versions. Node's LICENSE has the
// names and the texts.
import type { Component } from "./component.ts";
import { readMitText } from "./licences.ts";

interface Part {
  /** The name in Node's LICENSE; with `notice`, the usual one. */
  readonly name: string;
  /** An SPDX licence expression. */
  readonly licence: string;
  /** The key in process.versions. Node does not publish the version of a part without one. */
  readonly key?: string;
  /** The name of the npm package that Node contains. */
  readonly npm?: string;
  /** Vendor and product in vulnerability databases. */
  readonly cpe?: string;
  /** Returns what must accompany the part, if Node's LICENSE does not name it. */
  readonly notice?: (license: string) => string;
}

const parts: readonly Part[] = [
  { name: "Acorn", licence: "MIT", key: "acorn", npm: "acorn" },
  { name: "c-ares", licence: "MIT", key: "ares" },
  { name: "merve", licence: "MIT", key: "merve" },
  { name: "ittapi", licence: "BSD-3-Clause" },
  { name: "amaro", licence: "MIT", key: "amaro", npm: "amaro" },
  { name: "swc", licence: "Apache-2.0" },
  { name: "ICU", licence: "Unicode-3.0", key: "icu" },
  { name: "libuv", licence: "MIT", key: "uv" },
  { name: "LIEF", licence: "Apache-2.0", key: "lief" },
  { name: "llhttp", licence: "MIT", key: "llhttp" },
  { name: "undici", licence: "MIT", key: "undici", npm: "undici" },
  // The CPEs are those that Syft gives to the programs and libraries themselves:
  // https://github.com/anchore/syft/blob/main/syft/pkg/cataloger/binary/classifiers.go
  { name: "OpenSSL", licence: "Apache-2.0", key: "openssl", cpe: "openssl:openssl" },
  { name: "Punycode.js", licence: "MIT" },
  { name: "V8", licence: "BSD-3-Clause", key: "v8" },
  { name: "SipHash", licence: "CC0-1.0" },
  { name: "zlib", licence: "Zlib", key: "zlib" },
  { name: "simdjson", licence: "Apache-2.0", key: "simdjson" },
  { name: "simdutf", licence: "MIT", key: "simdutf" },
  { name: "ada", licence: "MIT", key: "ada" },
  { name: "minimatch", licence: "BlueOak-1.0.0" },
  { name: "inspector_protocol", licence: "BSD-3-Clause" },
  { name: "nghttp2", licence: "MIT", key: "nghttp2" },
  { name: "caja", licence: "Apache-2.0" },
  { name: "brotli", licence: "MIT", key: "brotli" },
  { name: "zstd", licence: "BSD-3-Clause", key: "zstd", cpe: "facebook:zstandard" },
  { name: "HdrHistogram", licence: "(CC0-1.0 OR BSD-2-Clause)" },
  { name: "node-heapdump", licence: "ISC" },
  { name: "rimraf", licence: "ISC" },
  { name: "uvwasi", licence: "MIT", key: "uvwasi" },
  { name: "ngtcp2", licence: "MIT", key: "ngtcp2" },
  { name: "nghttp3", licence: "MIT", key: "nghttp3" },
  { name: "node-fs-extra", licence: "MIT" },
  { name: "on-exit-leak-free", licence: "MIT" },
  { name: "sonic-boom", licence: "MIT" },
  // Node's own project makes these two, under Node's own licence.
  { name: "nbytes", licence: "MIT", key: "nbytes", notice: (license) => license },
  { name: "ncrypto", licence: "MIT", key: "ncrypto", notice: (license) => license },
  {
    name: "SQLite",
    licence: "blessing",
    key: "sqlite",
    notice: () => "SQLite is in the public domain: https://sqlite.org/copyright.html",
  },
  {
    name: "libffi",
    licence: "MIT",
    key: "libffi",
    notice: () => `Copyright (c) 1996-2026 Anthony Green, Red Hat, Inc and others\n\n${readMitText()}`,
  },
];

/** Names in Node's LICENSE of what is not in its program: tools of its build, its tests, and programs beside it. */
const absent = new Set(
  "corepack, postject, npm, GYP, jinja2, markupsafe, cpplint.py, gypi_to_gn.py, gtest".split(", "),
);

/** Keys of process.versions that name no part: Node itself, interfaces, and data in ICU, under the licence of ICU. */
const noParts = new Set(["node", "modules", "napi", "cldr", "tz", "unicode"]);

/**
 * Describes what this process's Node contains. Parts without a version have an empty one.
 *
 * @param license the text of Node's LICENSE
 */
export function describeNodeParts(license: string): Component[] {
  const named = [...license.matchAll(/^- (.+), located at .+, is licensed as follows:$/gm)].map(
    ([, name = ""]) => name,
  );
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  // Node names parts that it was built without, with an empty version.
  const versioned = Object.keys(versions).filter((key) => versions[key] && !noParts.has(key));
  const unknown = [
    ...named.filter((name) => !absent.has(name) && !parts.some((part) => part.name === name)),
    ...versioned.filter((key) => !parts.some((part) => part.key === key)),
  ];
  if (unknown.length > 0) {
    throw new Error(`Node contains ${unknown.join(", ")}. Add each with its licence to tools/bundle/node-parts.ts.`);
  }
  const present = parts.filter(({ name, key }) => (key ? versions[key] : named.includes(name)));
  const silent = present.filter(({ name, notice }) => !notice && !named.includes(name)).map(({ name }) => name);
  if (silent.length > 0) {
    throw new Error(`Node's LICENSE lacks ${silent.join(", ")}. Add a notice to tools/bundle/node-parts.ts.`);
  }
  return present.map(({ name, licence, key, npm, cpe, notice }) => {
    const version = (key && versions[key]) || "";
    return {
      name: npm ?? name,
      version,
      licence,
      purl: `pkg:${npm ? "npm" : "generic"}/${encodeURIComponent(npm ?? name.toLowerCase())}${version && `@${version}`}`,
      download: `https://nodejs.org/dist/v${versions.node}/node-v${versions.node}.tar.gz`,
      ...(cpe ? { cpe: `cpe:2.3:a:${cpe}:${version}:*:*:*:*:*:*:*` } : {}),
      notices: [notice?.(license) ?? license],
    };
  });
}
