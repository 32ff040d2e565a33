// The page of `status`: the same as the live table, once, without color.

import { formatTime } from "../core/tags.ts";
import { alignRows, clean, drawWeight, formatPhase, renderChecks, toRows, toSentence, wrap } from "./format.ts";
import type { Report } from "./report.ts";

/** @param width of the terminal; undefined: as wide as it gets */
export function renderStatus(report: Report, width = Number.POSITIVE_INFINITY): string {
  const { app, image, at, live, next, message } = report;
  const facts = [
    ["app", clean(app)],
    ["image", image === undefined ? "" : clean(image)],
    ["time", formatTime(at)],
    ["phase", formatPhase(report)],
    ["live", renderSide(live)],
    ["new", next === undefined ? "" : renderSide(next)],
  ].filter(([, value]) => value !== "");
  const rows = toRows(report);
  const checks = rows.length === 0 ? [] : renderChecks(rows, width).lines;
  const blocks = [alignRows(facts), checks].filter((block) => block.length > 0);
  const text = blocks.map((block) => block.map((cells) => cells.join("  ").trimEnd()).join("\n"));
  return [...text, wrap(toSentence(message), width).join("\n")].join("\n\n");
}

function renderSide({ revision, weight }: NonNullable<Report["next"]>): string {
  return `${clean(revision)}  ${weight} %  ${drawWeight(weight)}`;
}
