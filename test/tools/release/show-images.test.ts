// The live table and the job summary in a real browser. Writes the pictures of docs/operate/release.md to coverage/:
// after a change, look at them and copy them to docs/images.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { parseDefinition } from "../../../tools/release/definition/read-definition.ts";
import type { Report } from "../../../tools/release/show/report.ts";
import { createSummary } from "../../../tools/release/show/summary.ts";
import { createTerminal } from "../../../tools/release/show/terminal.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import { findChromium } from "../../support/chromium.ts";
import { root } from "../../support/processes.ts";
import { simulate } from "./simulated.ts";

const file = "services/welcome/release.yaml";
// Its comment names this check.
const slow = "  - { name: slow, source: httpLogs, over: 500ms, margin: 2% }";
const definition = {
  ...parseDefinition(readFileSync(join(root, file), "utf8").replace(/^.*name: alive/m, `${slow}\n$&`), file),
  test: [{ get: "/readyz" }], // this simulator runs no processes, so its responses have no content
};

/** A release of this image on the simulator, as welcome is released there: all reports, and its end. */
async function simulateRelease(image: string) {
  const reports: Report[] = [];
  const simulated = simulate({ workload: steady({ perSecond: 6, errors: 0.005 }) }, definition);
  const goal = { kind: "run", image, set: {}, retry: false, once: false, allowQueue: false } as const;
  const { outcome, message } = await simulated.run(goal, { onReport: (report) => reports.push(report) });
  return { image, reports, outcome, message };
}

const good = await simulateRelease("registry.example/welcome:2.0.0");
const bad = await simulateRelease("registry.example/welcome:2.0.0-errors");

let browser: Browser;
let page: Page;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "release-images-"));
  mkdirSync(join(root, "coverage"), { recursive: true });
  const executablePath = await findChromium();
  browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}, 300_000);
beforeEach(async () => {
  page = await browser.newPage({ viewport: { width: 1120, height: 200 }, deviceScaleFactor: 2 });
  return () => page.close();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

const escapeHtml = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** A frame of the live table. */
function renderTerminal(): string {
  const writes: string[] = [];
  const output = new PassThrough();
  output.on("data", (data: Buffer) => writes.push(data.toString()));
  const paint = (style: string, text: string) => `\u0001${style}\u0002${text}\u0003`;
  const undecided = good.reports.findLast(
    ({ phase, checks, until }) =>
      phase === "step 2 of 3" &&
      until !== undefined &&
      checks.every(({ next }) => next.total > 0) &&
      checks.some(({ verdict }) => verdict === "inconclusive"),
  );
  if (!undecided) throw new Error("the release has no look in step 2 that decides nothing");
  createTerminal(Object.assign(output, { columns: 100 }), paint).report(undecided);
  const frame = writes.join("").replaceAll(/\p{Cc}\[[KJ]/gu, "");
  return escapeHtml(frame)
    .replaceAll("\u0001", '<span class="')
    .replaceAll("\u0002", '">')
    .replaceAll("\u0003", "</span>");
}

/** The summary of a release that went back, as GitHub renders the parts of Markdown that it has. */
function renderSummary(): string {
  const summary = join(folder, "summary.md");
  const show = createSummary({ GITHUB_STEP_SUMMARY: summary }, () => {});
  for (const report of bad.reports) show.report(report);
  show.end(bad.outcome, bad.message);
  const blocks = readFileSync(summary, "utf8").match(/```.*?```|\S.*?(?=\n\n|\n$)/gs) ?? [];
  return blocks
    .map((block) => {
      if (block.startsWith("## ")) return `<h2>${block.slice(3)}</h2>`;
      if (block.startsWith("```")) return `<pre>${block.split("\n").slice(1, -1).join("\n")}</pre>`;
      if (!block.startsWith("|")) return `<p>${block}</p>`;
      const rows = block.split("\n").filter((_, index) => index !== 1);
      const cells = (row: string, tag: string) =>
        row
          .slice(2, -2)
          .split(" | ")
          .map((cell) => `<${tag}>${cell}</${tag}>`)
          .join("");
      return `<table>${rows.map((row, index) => `<tr>${cells(row, index === 0 ? "th" : "td")}</tr>`).join("")}</table>`;
    })
    .join("");
}

/** Where each line of a text has its first ┃, in pixels. */
const readMargins = () =>
  page.locator("pre").evaluate((element) => {
    const lefts: number[] = [];
    const walker = element.ownerDocument.createTreeWalker(element, 4 /* text */);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      for (const { index } of (node.textContent ?? "").matchAll(/(?<=[·━┊●])┃/g)) {
        const range = element.ownerDocument.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + 1);
        lefts.push(Math.round(range.getBoundingClientRect().left));
      }
    }
    return lefts;
  });

const isTooWide = () => page.evaluate("document.documentElement.scrollWidth > innerWidth");

test("the live table fits into 100 columns, and its pictures share one line for the margin", async () => {
  await page.setContent(`<style>
    body { margin: 0; background: #0d1117 }
    pre { margin: 0; padding: 20px; width: max-content; color: #e6edf3; font: 13px/1.45 "DejaVu Sans Mono", monospace }
    .bold { font-weight: bold } .dim { color: #8b949e } .green { color: #3fb950 } .red { color: #f85149 } .yellow { color: #d29922 }
  </style><pre><span class="dim">$ npm run release -- run welcome --image ${good.image}</span>\n\n${renderTerminal()}</pre>`);
  const margins = await readMargins();
  expect(margins).toHaveLength(2);
  expect(new Set(margins).size).toBe(1);
  expect(await isTooWide()).toBe(false);
  expect(await page.locator(".yellow").allTextContents()).toEqual(["inconclusive"]);
  await page.locator("pre").screenshot({ path: join(root, "coverage/release-terminal.png") });
});

test("the job summary has a heading, two tables and charts that share one line for the margin", async () => {
  await page.setContent(`<style>
    body { margin: 0; padding: 24px; font: 14px/1.5 "DejaVu Sans", sans-serif; color: #1f2328; width: 1000px }
    h2 { margin: 0 0 12px; padding-bottom: 6px; border-bottom: 1px solid #d1d9e0 } table { border-collapse: collapse; margin: 0 0 16px }
    th, td { border: 1px solid #d1d9e0; padding: 6px 10px; text-align: left; white-space: nowrap }
    pre { background: #f6f8fa; padding: 14px; font: 12px/1.45 "DejaVu Sans Mono", monospace; margin: 0 }
  </style>${renderSummary()}`);
  const margins = await readMargins();
  expect(margins).toHaveLength(
    bad.reports.findLast(({ checks }) => checks.length > 0)?.checks.filter(({ live }) => live.total > 0).length ?? 0,
  );
  expect(new Set(margins).size).toBe(1);
  expect(await isTooWide()).toBe(false);
  expect(await page.getByRole("heading").textContent()).toBe("Release of welcome: rolled back");
  expect(await page.getByRole("table").count()).toBe(2);
  expect(await page.locator("pre").textContent()).toMatch(/tests +0 %\n\S+ {2}step 1 of 3 +5 %.*\n\S+ {2}back +0 %/);
  await page.screenshot({ path: join(root, "coverage/release-summary.png"), fullPage: true });
});
