// The licences under which third-party software may be in a published image.
import type { Component } from "./component.ts";

/** Licences that allow us to pass software on, and what they ask for. */
const redistributable: Readonly<Record<string, string>> = {
  MIT: "asks for its text: THIRD-PARTY-NOTICES has it",
  ISC: "like MIT",
  "BSD-2-Clause": "like MIT",
  "BSD-3-Clause": "like MIT",
  "Apache-2.0": "asks for its text and for NOTICE files: THIRD-PARTY-NOTICES has both",
  "0BSD": "asks for nothing",
  Unlicense: "asks for nothing",
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

/** For the expressions that occur: licences joined by AND, or alternatives joined by OR, in parentheses or not. */
function isAllowed(expression: string): boolean {
  const bare = expression.replace(/^\((.*)\)$/, "$1");
  const isKnown = (licence: string) => licence in redistributable;
  return bare.includes(" OR ") ? bare.split(" OR ").some(isKnown) : bare.split(" AND ").every(isKnown);
}
