// The live table and the job summary in a real browser. Writes the pictures of docs/operate/release.md to coverage/:
// after a change, look at them and copy them to docs/images.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { judge, needed } from "../../../tools/release/judge.ts";
import type { CheckReport, Report } from "../../../tools/release/report.ts";
import { createSummary } from "../../../tools/release/show/summary.ts";
import { createTerminal } from "../../../tools/release/show/terminal.ts";
import { findChromium } from "../../support/chromium.ts";
import { root } from "../../support/processes.ts";

const minute = 60_000;
const start = Date.UTC(2026, 7, 26, 11, 0);
const [live, next] = ["welcome--0000004", "welcome--r9f8e7d6c"];
const stable = { bad: 11, total: 3604 };

/** What the judge says about these counts. */
function check(name: string, bad: number, margin: number): CheckReport {
  const counts = { bad, total: 1196 };
  const rule = { margin, max: 0.05, looks: 100 };
  const { verdict, strict, usual } = judge(counts, stable, rule);
  const interval = verdict === "fail" ? strict : usual;
  return { name, verdict, margin, next: counts, live: stable, needed: needed(counts, stable, rule, 25), ...interval };
}

const base: Report = {
  at: start,
  app: "welcome",
  image: "ghcr.io/contoso/samples/welcome:1.1.0",
  phase: "tests",
  hold: undefined,
  live: { revision: live, weight: 100 },
  next: { revision: next, weight: 0 },
  checks: [],
  probes: [],
  message: "",
  until: undefined,
};
const stepOne: Report = {
  ...base,
  at: start + 2 * minute,
  phase: "step 1 of 3",
  live: { revision: live, weight: 95 },
  next: { revision: next, weight: 5 },
};
const stepTwo: Report = {
  ...stepOne,
  at: start + 24 * minute,
  phase: "step 2 of 3",
  live: { revision: live, weight: 75 },
  next: { revision: next, weight: 25 },
  checks: [check("5xx", 5, 0.01), check("slow", 10, 0.01)],
  probes: [{ name: "alive", isFailing: false }],
  message: "Compares the requests since 11:18:30.",
  until: start + 28 * minute,
};
const failed: Report = {
  ...stepTwo,
  at: start + 25 * minute,
  phase: "back",
  live: { revision: live, weight: 100 },
  next: { revision: next, weight: 0 },
  checks: [check("5xx", 45, 0.01), check("slow", 10, 0.01)],
};

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

/** The last frame of a terminal. */
function renderTerminal(): string {
  const writes: string[] = [];
  const output = new PassThrough();
  output.on("data", (data: Buffer) => writes.push(data.toString()));
  const paint = (style: string, text: string) => `\u0001${style}\u0002${text}\u0003`;
  createTerminal(Object.assign(output, { columns: 130 }), paint).report(stepTwo);
  const frame = writes.join("").replaceAll(/\p{Cc}\[[KJ]/gu, "");
  return escapeHtml(frame)
    .replaceAll("\u0001", '<span class="')
    .replaceAll("\u0002", '">')
    .replaceAll("\u0003", "</span>");
}

/** The summary of a release that went back, as GitHub renders the parts of Markdown that it has. */
function renderSummary(): string {
  const file = join(folder, "summary.md");
  const show = createSummary({ GITHUB_STEP_SUMMARY: file }, () => {});
  for (const report of [base, stepOne, { ...stepTwo, at: start + 18 * minute }, failed]) show.report(report);
  show.end(
    "rolledBack",
    "5xx is worse by more than 1 %: 45 of 1196 requests failed, and 11 of 3604 of the live revision",
  );
  const blocks = readFileSync(file, "utf8").match(/```.*?```|\S.*?(?=\n\n|\n$)/gs) ?? [];
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

test("the live table fits into 130 columns, and its pictures share one line for the margin", async () => {
  await page.setContent(`<style>
    body { margin: 0; background: #0d1117 }
    pre { margin: 0; padding: 20px; color: #e6edf3; font: 13px/1.45 "DejaVu Sans Mono", monospace }
    .bold { font-weight: bold } .dim { color: #8b949e } .green { color: #3fb950 } .red { color: #f85149 } .yellow { color: #d29922 }
  </style><pre><span class="dim">$ npm run release -- run welcome --image ${base.image}</span>\n\n${renderTerminal()}</pre>`);
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
  expect(margins).toHaveLength(2);
  expect(new Set(margins).size).toBe(1);
  expect(await isTooWide()).toBe(false);
  expect(await page.getByRole("heading").textContent()).toBe("Release of welcome: rolled back");
  expect(await page.getByRole("table").count()).toBe(2);
  expect(await page.locator("pre").textContent()).toMatch(
    /11:00 {2}tests +0 %\n11:02 {2}step 1 of 3 +5 %.*\n11:18 {2}step 2 of 3 +25 %.*\n11:25 {2}back +0 %/,
  );
  await page.screenshot({ path: join(root, "coverage/release-summary.png"), fullPage: true });
});
