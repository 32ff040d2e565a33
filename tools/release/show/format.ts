// How numbers, times and text of a report look, in a terminal, in a log and in a summary.
import type { Verdict } from "../core/judge.ts";
import type { CheckReport, Outcome, ProbeReport, Report } from "./report.ts";

/**
 * One line of printable text. Names and messages come from Azure and from files: a line break would forge a line of the
 * log, an escape sequence would control the terminal, and GitHub runs `##[` as a command wherever a line has it.
 * https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
 */
export function clean(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .replaceAll("##[", "## [")
    .trim();
}

/** Lines of another program. Their start keeps them apart, and GitHub runs `::` as a command where a line starts so. */
export function quote(output: string): string {
  return output
    .split("\n")
    .map((line) => `| ${clean(line)}`.trimEnd())
    .join("\n");
}

/** With a capital, unless it starts with a name, and with a period. */
export function toSentence(text: string): string {
  const line = clean(text);
  const start = /^[a-z]+[ :,]/.test(line) ? line.slice(0, 1).toUpperCase() + line.slice(1) : line;
  return start === "" || /[.!?…`]$/.test(start) ? start : `${start}.`;
}

/** Ends of a command: its words, and how much of a person's attention it needs. */
export const ends: Readonly<Record<Outcome, { words: string; level: "notice" | "warning" | "error" }>> = {
  promoted: { words: "promoted", level: "notice" },
  nothing: { words: "nothing to do", level: "notice" },
  ongoing: { words: "goes on", level: "notice" },
  aborted: { words: "aborted", level: "warning" },
  input: { words: "not started", level: "error" },
  rolledBack: { words: "rolled back", level: "error" },
  held: { words: "on hold", level: "warning" },
  foreign: { words: "changed by somebody else", level: "error" },
  unreachable: { words: "Azure is unreachable", level: "error" },
  unconfirmed: { words: "rollback unconfirmed", level: "error" },
};

/** Such as `6 min left`; undefined when the time is over or unknown. */
function formatTimeLeft({ at, until }: Report): string | undefined {
  if (until === undefined || until <= at) return undefined;
  const seconds = Math.ceil((until - at) / 1000);
  if (seconds < 60) return `${seconds} s left`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}

/** Such as `step 1 of 3, on hold: confirm, 6 min left`. */
export function formatPhase(report: Report): string {
  const hold = report.hold === undefined ? undefined : `on hold: ${clean(report.hold)}`;
  return [clean(report.phase), hold, formatTimeLeft(report)].filter((part) => part !== undefined).join(", ");
}

/** The cells of a check or a probe, in the order of `columns`. */
export interface Row {
  readonly check: string;
  readonly verdict: Verdict;
  readonly next: string;
  readonly live: string;
  readonly interval: string;
  readonly margin: string;
  readonly needed: string;
  readonly picture: string;
}

export const heads: Readonly<Record<keyof Row, string>> = {
  check: "check",
  verdict: "verdict",
  next: "new: bad",
  live: "live: bad",
  interval: "points worse",
  margin: "margin",
  needed: "needed",
  picture: "        ┊0  ┃margin",
};

/** Explains the heads. */
export const legend = "points worse: the likely range of the difference; needed: requests to pass";

export const columns = Object.keys(heads) as (keyof Row)[];

/** The columns in the order in which they are left out where a window is narrow. */
const dispensable: readonly (keyof Row)[] = ["picture", "margin", "needed", "interval", "live", "next", "verdict"];

/** The table of the checks in lines of at most `width` cells, its heads first. */
export function renderChecks(
  rows: readonly Row[],
  width: number,
): { shown: readonly (keyof Row)[]; lines: string[][] } {
  const all = [heads, ...rows];
  let shown = columns;
  for (const column of dispensable) {
    const [line = []] = alignRows(all.map((row) => shown.map((name) => row[name])));
    if (countCells(line.join("  ")) <= width) break;
    shown = shown.filter((name) => name !== column);
  }
  return { shown, lines: alignRows(all.map((row) => shown.map((name) => row[name]))) };
}

export function toRows({ checks, probes }: Report): Row[] {
  return [...checks.map(toRow), ...probes.map(toProbeRow)];
}

function toRow(check: CheckReport): Row {
  const { next, live, margin, needed } = check;
  const digits = margin < 0.01 ? 2 : 1;
  const share = (value: number) => `${value > 0 ? "+" : ""}${(value * 100).toFixed(digits)}`;
  const isEmpty = next.total === 0 || live.total === 0;
  return {
    check: clean(check.name),
    verdict: check.verdict,
    next: `${next.bad} of ${next.total}`,
    live: `${live.bad} of ${live.total}`,
    interval: isEmpty ? "" : `${share(check.low)} to ${share(check.high)}`,
    margin: String(Number((margin * 100).toFixed(2))),
    needed: needed ? String(needed) : "",
    picture: isEmpty ? "" : drawInterval(check),
  };
}

function toProbeRow({ name, isFailing }: ProbeReport): Row {
  const empty = { next: "", live: "", interval: "", margin: "", needed: "", picture: "" };
  return { check: clean(name), verdict: isFailing ? "fail" : "pass", ...empty };
}

/** Half the cells of a picture: the margin is in the middle. */
const half = 12;

/** The interval, from -2 margins to 4 margins: ┊ is no difference, ┃ the margin. */
function drawInterval({ margin, difference, low, high }: CheckReport): string {
  const cellOf = (value: number) => Math.min(2 * half, Math.max(0, Math.round(((value / margin + 2) / 6) * 2 * half)));
  const cells: string[] = Array.from({ length: 2 * half + 1 }, (_, cell) =>
    cell >= cellOf(low) && cell <= cellOf(high) ? "━" : "·",
  );
  cells[cellOf(0)] = "┊";
  cells[half] = "┃";
  cells[cellOf(difference)] = "●";
  return cells.join("");
}

/** A bar of at most 20 cells. */
export function drawWeight(weight: number): string {
  return "█".repeat(Math.round(weight / 5) || (weight > 0 ? 1 : 0));
}

/** Lines of the same width: each column is as wide as its widest cell. */
export function alignRows(rows: readonly (readonly string[])[]): string[][] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => countCells(row[column] ?? "")))) ?? [];
  return rows.map((row) => row.map((cell, column) => pad(cell, widths[column] ?? 0)));
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - countCells(text)));
}

/** Cells of a terminal: characters of East Asian scripts and emoji take two, combining ones none. */
export function countCells(text: string): number {
  let cells = 0;
  for (const character of text) cells += countCellsOf(character);
  return cells;
}

function countCellsOf(character: string): number {
  if (/\p{M}/u.test(character)) return 0;
  const isWide =
    /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]/u;
  return isWide.test(character) ? 2 : 1;
}

/** The text in lines of at most `width` cells. A word that is longer is cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && countCells(`${line} ${word}`) > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? cut(word, width) : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}

/** The text in at most `width` cells; … replaces its end. */
export function cut(text: string, width: number): string {
  if (countCells(text) <= width) return text;
  let kept = "";
  for (const character of text) {
    if (countCells(kept + character) > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}
