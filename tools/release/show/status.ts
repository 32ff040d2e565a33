// The page of `status`: the same as the live table, once, without color.
import type { Report } from "../report.ts";
import { alignRows, clean, columns, drawWeight, formatPhase, formatTime, heads, toRows } from "./format.ts";

export function renderStatus(report: Report): string {
  const { app, image, at, live, next, message } = report;
  const facts = [
    ["app", clean(app)],
    ["image", image === undefined ? "" : clean(image)],
    ["time", formatTime(at)],
    ["phase", formatPhase(report)],
    ["live", renderSide(live)],
    ["next", next === undefined ? "" : renderSide(next)],
  ].filter(([, value]) => value !== "");
  const rows = toRows(report);
  const checks = rows.length === 0 ? [] : [heads, ...rows].map((row) => columns.map((column) => row[column]));
  const blocks = [alignRows(facts), alignRows(checks)].filter((block) => block.length > 0);
  return [...blocks.map((block) => block.map((cells) => cells.join("  ").trimEnd()).join("\n")), clean(message)].join(
    "\n\n",
  );
}

function renderSide({ revision, weight }: NonNullable<Report["next"]>): string {
  return `${clean(revision)}  ${weight} %  ${drawWeight(weight)}`;
}
