// Every Markdown page of the repository: links, npm scripts, the index, and the tests that judge its shell blocks.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const pages = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], { cwd: root })
  .toString()
  .split("\n")
  .filter((page) => page !== "" && existsSync(join(root, page)));
const read = (path: string) => readFileSync(join(root, path), "utf8");

/** The lines of a page outside its code blocks. */
const withoutBlocks = (page: string) =>
  read(page)
    .replaceAll(/^ *```.*?^ *```$/gms, "")
    .split("\n");

/** The links of a page to other files, without their headings, relative to the root of the repository. */
const linksOf = (page: string) =>
  [...read(page).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)].map(([, path = "", heading]) => ({
    target: path === "" ? page : join(dirname(page), path),
    heading,
  }));

/** The anchors that GitHub gives to the headings of a page. */
const anchorsOf = (page: string) =>
  [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

describe.each(pages)("%s", (page) => {
  test("links only to files, folders and headings that exist", () => {
    for (const { target, heading } of linksOf(page)) {
      expect(existsSync(join(root, target)), target).toBe(true);
      if (heading !== undefined) expect(anchorsOf(target), `${target}#${heading}`).toContain(heading);
    }
  });

  test("names only npm scripts that package.json has", () => {
    const { scripts } = JSON.parse(read("package.json"));
    for (const [, name = ""] of read(page).matchAll(/npm run ([\w:]+)/g)) expect(scripts).toHaveProperty([name]);
  });

  test("wraps prose at 120 columns, except where a link or inline code is longer", () => {
    const prose = withoutBlocks(page).filter((line) => !/^ *\||^#/.test(line));
    // Inline code and links cannot wrap.
    const units = prose.map((line) =>
      line.replaceAll(/`[^`]*`|!?\[[^\]]*\]\([^)]*\)/g, (unit) => "x".repeat(unit.length)),
    );
    expect(units.filter((unit) => unit.length > 120 && /\S \S/.test(unit.replace(/^ *([-*]|\d+\.) /, "")))).toEqual([]);
  });

  test("starts every table head with a capital or with code", () => {
    const lines = withoutBlocks(page);
    const heads = lines.filter((_, index) => /^ *\|[-:| ]+\|$/.test(lines[index + 1] ?? ""));
    for (const cell of heads
      .join("")
      .split("|")
      .map((text) => text.trim()))
      expect(cell).toMatch(/^([A-Z`]|$)/);
  });
});

test("every page and Bicep file that names the colors of versions says which is which, and that the original swaps them", () => {
  const files = execFileSync("git", ["ls-files", "*.md", "infra/bicep"], { cwd: root }).toString().trim().split("\n");
  const named = files.filter(
    (file) => file !== "CHANGELOG.md" && /\b(blue|green)\b/i.test(read(file).replaceAll(/blue-green/gi, "")),
  );
  expect(named.length).toBeGreaterThan(7);
  for (const file of named) {
    const text = read(file).replaceAll(/\s+(\/\/ )?/g, " ");
    expect(text, file).toMatch(/walkthrough[\w ,-]* green is live and blue is the preview/);
  }
});

const isTask = (page: string) => /^docs\/(deploy|operate)\/|^docs\/get-started\.md$/.test(page);

test.each(pages.filter(isTask))("%s starts with its result and its prerequisites, and ends with clean-up", (page) => {
  const introduction = read(page).split("\n## ", 1).join();
  expect(introduction).toMatch(/^# .+\n\nAt the end of this page/);
  expect(introduction).toMatch(/You\s+need/);
  expect(
    read(page)
      .match(/^## .+$/gm)
      ?.at(-1),
  ).toBe("## Clean up");
});

test.each(pages.filter((page) => page.startsWith("docs/reference/")))(
  "%s starts with a summary of the page",
  (page) => {
    expect(read(page).split("\n## ", 1).join()).toMatch(/This\s+page/);
  },
);

test.each(pages.filter((page) => /^docs\/decisions\/\d/.test(page)))(
  "%s has context, decision, consequences",
  (page) => {
    expect([...read(page).matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual([
      "Context",
      "Decision",
      "Consequences",
    ]);
  },
);

test("each block of a page that applies overlays/aks creates the tokens of the sidecars, too", () => {
  const blocks = pages
    .flatMap((page) => readBlocks(page).map(({ command }) => ({ page, command })))
    .filter(({ command }) => /kubectl (apply|kustomize)\b.*overlays\/aks/.test(command));
  expect(blocks.length).toBeGreaterThan(1);
  expect(blocks.filter(({ command }) => !/\bsh \S*create-tokens\.sh/.test(command))).toEqual([]);
});

test("the README has at most 150 lines", () => {
  expect(read("README.md").trimEnd().split("\n").length).toBeLessThanOrEqual(150);
});

test("docs/README.md links to every page of docs, and docs/decisions/README.md to every decision", () => {
  const indexes = ["docs/README.md", "docs/decisions/README.md"];
  const linked = new Set(indexes.flatMap(linksOf).map(({ target }) => target));
  expect(pages.filter((page) => page.startsWith("docs/") && page !== "docs/README.md" && !linked.has(page))).toEqual(
    [],
  );
});

test("every page with shell blocks is listed with the test files that judge them, and these files name it", () => {
  const judges: Record<string, string[]> = {
    "test/docs/readme.test.ts": [
      "README.md",
      "docs/get-started.md",
      "docs/reference/state-api.md",
      "docs/operate/wasm.md",
      "docs/operate/security.md",
    ],
    "test/containers/containers.test.ts": ["docs/deploy/containers.md"],
    "test/containers/registry.test.ts": ["docs/operate/wasm.md"],
    "test/infra/az.test.ts": ["docs/deploy/az.md"],
    "test/infra/private-dns-page.test.ts": ["docs/operate/private-dns.md"],
    "test/infra/sign-in-page.test.ts": ["docs/operate/sign-in.md"],
    "test/tools/release/page.test.ts": ["docs/operate/release.md"],
    "test/kubernetes/cluster/wasm.ts": ["docs/operate/wasm.md"],
    "test/kubernetes/pages.test.ts": [
      "docs/deploy/kubernetes.md",
      "docs/operate/blue-green.md",
      "docs/operate/key-vault.md",
      "docs/operate/pod-identity.md",
      "docs/operate/policy.md",
      "docs/operate/workload-identity.md",
    ],
  };
  // test/kubernetes/pages.test.ts lists the folder.
  const isFeature = (page: string) => page.startsWith("infra/kubernetes/features/");
  expect(pages.filter((page) => readBlocks(page).length > 0 && !isFeature(page)).sort()).toEqual(
    [...new Set(Object.values(judges).flat())].sort(),
  );
  for (const [judge, judged] of Object.entries(judges)) {
    for (const page of judged) expect(read(judge), `${judge} on ${page}`).toContain(`"${page}"`);
  }
});
