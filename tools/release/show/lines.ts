// Plain lines with the time, for logs and for output that is no terminal: one for each change.

import { formatTime } from "../core/tags.ts";
import { clean, ends, formatPhase, quote, toRows } from "./format.ts";
import type { LoggingShow, Report } from "./report.ts";

/**
 * @param print prints a line
 * @param now for the line of the end, in milliseconds since 1970
 */
export function createLines(print: (line: string) => void, now: () => number): LoggingShow {
  let last: string | undefined;
  let message = "";
  return {
    log: (text) => print(quote(text)),
    report(report) {
      const state = renderState(report);
      const isEnd = report.message === "" && report.next === undefined; // the next line says it
      if (state === last || isEnd) return;
      last = state;
      print(renderLine(report, shorten(report.message, message)));
      message = report.message;
    },
    end(outcome, message) {
      print(`${formatTime(now())} ${ends[outcome].words}: ${clean(message)}`);
    },
  };
}

/** What makes a line worth printing: neither counts nor the time that is left. */
function renderState({ phase, hold, live, next, checks, probes, message }: Report): string {
  const verdicts = [...checks.map(({ verdict }) => verdict), ...probes.map(({ isFailing }) => isFailing)];
  return JSON.stringify([phase, hold, live, next, verdicts, message]);
}

/** Without the reason, if the line before has it: what comes after the first colon. */
function shorten(message: string, before: string): string {
  const [, what = message, why] = /^(.*?): (.*)$/s.exec(message) ?? [];
  return why !== undefined && message !== before && before.includes(why) ? `${what}.` : message;
}

function renderLine(report: Report, message: string): string {
  const { app, at, live, next } = report;
  const weights = [live, ...(next === undefined ? [] : [next])].map(
    ({ revision, weight }) => `${clean(revision)} ${weight} %`,
  );
  const checks = toRows(report).map((row) => {
    if (row.next === "") return `${row.check} ${row.verdict}`; // a probe
    const needed = row.needed === "" ? [] : [`${row.needed} requests needed`];
    const interval = row.interval === "" ? [] : [`${row.interval} points worse`];
    return `${row.check} ${row.verdict} (${[`bad ${row.next}`, `live ${row.live}`, ...interval, ...needed].join(", ")})`;
  });
  const parts = [`${clean(app)} ${formatPhase(report)}`, weights.join(", "), ...checks, clean(message)];
  return `${formatTime(at)} ${parts.filter((part) => part !== "").join(" | ")}`;
}
