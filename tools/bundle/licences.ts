// The licences under which third-party software may be in a published image.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Component } from "./component.ts";
import { root } from "./programs.ts";

/** Licences that allow us to pass software on, and what they ask for. */
const redistributable: Readonly<Record<string, string>> = {
  MIT: "asks for its text: THIRD-PARTY-NOTICES has it",
  ISC: "like MIT",
  "BSD-2-Clause": "like MIT",
  "BSD-3-Clause": "like MIT",
  "Apache-2.0": "asks for its text and for NOTICE files: THIRD-PARTY-NOTICES has both",
  "0BSD": "asks for nothing",
  "BlueOak-1.0.0": "like MIT",
  "CC0-1.0": "asks for nothing",
  "Unicode-3.0": "like MIT",
  Unlicense: "asks for nothing",
  Zlib: "asks for nothing when only the program is passed on",
  blessing: "SQLite, in the public domain: asks for nothing",
  "LGPL-2.1-or-later":
    "glibc, linked dynamically: asks for its text, and for the sources, which Debian offers under the address in " +
    "THIRD-PARTY-NOTICES",
  "GPL-3.0-or-later WITH GCC-exception-3.1":
    "libraries of GCC: the exception lets any program use them; asks for the same as LGPL-2.1-or-later",
};

/** Finds components that must not be in a published image: one message for each. */
export function findForbidden(components: readonly Component[]): string[] {
  return components
    .filter(({ licence }) => !isAllowed(licence))
    .map(
      ({ name, version, licence }) =>
        `${name} ${version} has the licence ${licence}, which tools/bundle/licences.ts does not allow. Replace the ` +
        "package; or, if the licence allows to pass the software on, add it there.",
    );
}

/**
 * For licences joined by AND, or alternatives joined by OR, in one pair of parentheses or none. No other expression is
 * allowed.
 */
function isAllowed(expression: string): boolean {
  const bare = expression.replace(/^\(([^()]*)\)$/, "$1");
  const isKnown = (licence: string) => Object.hasOwn(redistributable, licence);
  return bare.split(" AND ").every(isKnown) || (!bare.includes(" AND ") && bare.split(" OR ").some(isKnown));
}

/** Writes a licence as SPDX does: packages differ in the case of its letters, which has no meaning. */
export function spell(licence: string): string {
  return Object.keys(redistributable).find((known) => known.toLowerCase() === licence.toLowerCase()) ?? licence;
}

/** The text of the MIT licence, without a copyright line. */
export function readMitText(): string {
  return readFileSync(join(root, "LICENSE"), "utf8").replace(/^MIT License\s+Copyright .*\s+/, "");
}
