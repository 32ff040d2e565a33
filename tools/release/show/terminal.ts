// The live table of a release: redrawn in place after each look at Azure.
import { styleText } from "node:util";
import {
  alignRows,
  clean,
  countCells,
  cut,
  drawWeight,
  ends,
  formatPhase,
  legend,
  quote,
  renderChecks,
  toRows,
  toSentence,
  wrap,
} from "./format.ts";
import { createLastSeen } from "./last-seen.ts";
import type { LoggingShow, Report, Side } from "./report.ts";

type Style = "bold" | "dim" | "green" | "red" | "yellow";

/** A part of a line. Its style is applied after the line is cut. */
interface Piece {
  readonly text: string;
  readonly style?: Style | undefined;
}

type Line = readonly Piece[];

const verdictStyles = { pass: "green", fail: "red", inconclusive: "yellow", outage: "red" } as const;
const levelStyles = { notice: "green", warning: "yellow", error: "red" } as const;

/** What the table needs of process.stdout. */
export type Terminal = Pick<NodeJS.WriteStream, "write"> & { readonly columns?: number; readonly rows?: number };

/**
 * @param paint applies a style
 */
export function createTerminal(output: Terminal, paint: (style: Style, text: string) => string): LoggingShow {
  /** Width of each line on the screen, which the next frame replaces. */
  let drawn: readonly number[] = [];
  const memory = createLastSeen();
  const readWidth = () => output.columns || 80;

  const draw = (lines: readonly Line[]) => {
    const width = readWidth();
    // A frame that is higher than the window would scroll, and could not be replaced.
    const frame = lines.slice(0, Math.max(1, (output.rows || 24) - 1)).map((line) => cutLine(line, width));
    // In a window that became narrower, a line of the old frame takes several rows.
    const rows = drawn.reduce((sum, length) => sum + Math.max(1, Math.ceil(length / width)), 0);
    const up = rows === 0 ? "" : `\x1b[${rows}A\r`;
    const text = frame.map((line) =>
      line.map(({ text, style }) => (style === undefined || text === "" ? text : paint(style, text))).join(""),
    );
    // One write, in which each line overwrites the old one before its rest is erased: the screen is never empty.
    output.write(`${up}${text.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
    drawn = frame.map((line) => countCells(line.map(({ text }) => text).join("")));
  };

  return {
    log(text) {
      output.write(`${quote(text)}\n`);
      drawn = []; // the next frame comes below
    },
    report(report) {
      memory.add(report);
      draw(renderReport(report, readWidth()));
    },
    end(outcome, message) {
      const width = readWidth();
      const last = memory.last();
      const table = last === undefined ? [] : renderReport({ ...last, phase: "", hold: undefined, message: "" }, width);
      const { words, level } = ends[outcome];
      const style = levelStyles[level];
      const lines = wrap(toSentence(`${words}: ${message}`), width);
      draw([...table, ...lines.map((text): Line => [{ text, style }])]);
    },
  };
}

/** Paints for a stream: without color when NO_COLOR is set. https://no-color.org */
export function createPaint(stream: NodeJS.WriteStream) {
  return (style: Style, text: string) => styleText(style, text, { stream });
}

function renderReport(report: Report, width: number): Line[] {
  const { app, image, live, next, message } = report;
  const name = image === undefined ? clean(app) : `${clean(app)} to ${clean(image)}`;
  const checks = renderTable(report, width);
  return [
    [{ text: name, style: "bold" }],
    ...(report.phase === "" ? [] : [[{ text: formatPhase(report) }]]),
    [],
    ...renderSides([["live", live], ...(next === undefined ? [] : [["new", next] as const])]),
    [],
    ...checks,
    ...(checks.length === 0 ? [] : [[]]),
    ...wrap(toSentence(message), width).map((text): Line => [{ text }]),
  ];
}

function renderSides(sides: readonly (readonly [string, Side])[]): Line[] {
  const rows = sides.map(([name, { revision, weight }]) => [name, clean(revision), `${weight} %`.padStart(5)]);
  return alignRows(rows).map((row, index) => [
    { text: `${row.join("  ")}  ` },
    { text: drawWeight(sides[index]?.[1].weight ?? 0), style: "dim" },
  ]);
}

function renderTable(report: Report, width: number): Line[] {
  const rows = toRows(report);
  if (rows.length === 0) return [];
  const { shown, lines } = renderChecks(rows, width);
  const table = lines.map((cells, index) =>
    cells.flatMap((text, column): Piece[] => {
      const verdict = shown[column] === "verdict" ? rows[index - 1]?.verdict : undefined;
      const style = index === 0 ? "dim" : verdict && verdictStyles[verdict];
      return column === 0 ? [{ text, style }] : [{ text: "  " }, { text, style }];
    }),
  );
  return shown.includes("needed") ? [...table, [{ text: legend, style: "dim" }]] : table;
}

function cutLine(line: Line, width: number): Line {
  let left = width;
  return line.flatMap((piece) => {
    if (left <= 0) return [];
    const text = cut(piece.text, left);
    left -= countCells(text);
    return [{ ...piece, text }];
  });
}
