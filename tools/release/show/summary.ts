// What GitHub Actions shows of a release: the job summary, an annotation at the end, and outputs of the step.
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { alignRows, clean, columns, drawWeight, ends, formatPhase, heads, toRows, toSentence } from "./format.ts";
import { createLastSeen } from "./last-seen.ts";
import type { Outcome, Report, Show } from "./report.ts";

/** A phase that the release was in, and the weight of the new revision in it. */
interface Stage {
  readonly at: number;
  readonly phase: string;
  readonly weight: number;
}

interface End {
  readonly outcome: Outcome;
  readonly message: string;
}

/**
 * Each part is silent when GitHub does not set its variable.
 *
 * @param print prints a line to the log of the step
 */
export function createSummary(env: NodeJS.ProcessEnv, print: (line: string) => void): Show {
  const { GITHUB_STEP_SUMMARY: file, GITHUB_OUTPUT: outputs, GITHUB_ACTIONS: isActions } = env;
  const stages: Stage[] = [];
  const memory = createLastSeen();
  const failed = new Set<string>();

  /** A release must not end because a file of GitHub cannot be written. */
  const attempt = (file: string, write: () => void) => {
    if (failed.has(file)) return;
    try {
      write();
    } catch (error) {
      failed.add(file);
      if (isActions) print(command("warning", clean(`${error}. GitHub shows less of this release.`)));
    }
  };

  const before = file ? readIfPresent(file) : "";
  // The whole state after each look: a job that is killed leaves the last one.
  const writeSummary = (report?: Report, end?: End) => {
    if (file) attempt(file, () => writeFileSync(file, `${before}${renderSummary(report, stages, end)}`));
  };

  return {
    report(report) {
      const { at, phase, next } = report;
      const previous = stages.at(-1);
      if (next !== undefined && (previous?.phase !== phase || previous.weight !== next.weight)) {
        stages.push({ at, phase, weight: next.weight });
      }
      memory.add(report);
      writeSummary(report);
    },
    end(outcome, message) {
      const last = memory.last();
      const reached = memory.reached();
      writeSummary(last, { outcome, message });
      if (outputs) {
        const values = { outcome, revision: reached?.next?.revision, step: reached?.phase, hold: last?.hold };
        const lines = Object.entries(values).map(([name, value]) => `${name}=${clean(value ?? "")}\n`);
        attempt(outputs, () => appendFileSync(outputs, lines.join("")));
      }
      if (isActions) {
        const title = last === undefined ? "Release" : `Release of ${clean(last.app)}`;
        const { level, words } = ends[outcome];
        print(command(level, `${words}: ${clean(message)}`, title));
      }
    },
  };
}

function readIfPresent(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts (escapeData, escapeProperty) */
function command(level: string, message: string, title?: string): string {
  const encode = (text: string) => text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
  const property = title === undefined ? "" : ` title=${encode(title).replaceAll(":", "%3A").replaceAll(",", "%2C")}`;
  return `::${level}${property}::${encode(message)}`;
}

/** The charts are text, because GitHub does not document that a summary renders Mermaid. */
function renderSummary(report: Report | undefined, stages: readonly Stage[], end: End | undefined): string {
  const state = end === undefined ? report && formatPhase(report) : ends[end.outcome].words;
  const message = end === undefined ? report?.message : end.message;
  const title = report === undefined ? "Release" : `Release of ${report.app}`;
  const blocks = [`## ${toMarkdown(title)}: ${toMarkdown(state ?? "")}`, toParagraph(toSentence(message ?? ""))];
  if (report !== undefined) blocks.push(...renderTables(report), renderCharts(report, stages));
  return `${blocks.filter((block) => block !== "").join("\n\n")}\n`;
}

function renderTables(report: Report): string[] {
  const { live, next, image } = report;
  const sides = [
    ["live", live.revision, `${live.weight} %`, ""],
    ...(next === undefined ? [] : [["new", next.revision, `${next.weight} %`, image ?? ""]]),
  ];
  const shown = columns.filter((column) => column !== "picture");
  const rows = toRows(report).map((row) => shown.map((column) => row[column]));
  return [
    renderTable(["", "Revision", "Weight", "Image"], sides),
    ...(rows.length === 0
      ? []
      : [
          renderTable(
            shown.map((column) => capitalize(heads[column])),
            rows,
          ),
        ]),
  ];
}

const capitalize = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1);

function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => "---"), ...rows.map((row) => row.map(toMarkdown))];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** The way of the new revision to all traffic, and the interval of each check. */
function renderCharts(report: Report, stages: readonly Stage[]): string {
  const way = stages.map(({ at, phase, weight }) => [
    new Date(at).toISOString().slice(11, 16),
    clean(phase),
    `${weight} %`.padStart(5),
    drawWeight(weight),
  ]);
  const pictures = toRows(report)
    .filter(({ picture }) => picture !== "")
    .map(({ check, picture }) => [check, picture]);
  const charts = [
    ...(way.length === 0 ? [] : [[["UTC    traffic of the new revision"], ...alignRows(way)]]),
    ...(pictures.length === 0 ? [] : [[["Interval of the difference: ┊ is 0, ┃ the margin"], ...alignRows(pictures)]]),
  ];
  if (charts.length === 0) return "";
  const lines = charts.flatMap((chart, index) => (index === 0 ? chart : [[""], ...chart]));
  return ["```text", ...lines.map((cells) => cells.join("  ").trimEnd()), "```"].join("\n");
}

/** Text between two backquotes is code. A digit, a hyphen or a plus sign at the start of a line would start a list. */
function toParagraph(text: string): string {
  const parts = clean(text).split("`");
  const isPaired = parts.length % 2 === 1;
  const line = isPaired
    ? parts.map((part, index) => (index % 2 === 0 ? escapeMarkup(part) : `<code>${escapeMarkup(part)}</code>`)).join("")
    : toMarkdown(text);
  return line.replace(/^[\d+=-]/, toEntity);
}

function toMarkdown(text: string): string {
  return escapeMarkup(clean(text));
}

/** No character of the result can be markup, or end a cell of a table. */
function escapeMarkup(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N} .,:;/%+=()'-]/gu, toEntity);
}

const toEntity = (character: string) => `&#${character.codePointAt(0)};`;
