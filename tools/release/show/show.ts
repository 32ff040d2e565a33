// Chooses what prints a release: a live table in a terminal, plain lines elsewhere, and in GitHub Actions its summary.

import { createLines } from "./lines.ts";
import type { LoggingShow } from "./report.ts";
import { createSummary } from "./summary.ts";
import { createPaint, createTerminal } from "./terminal.ts";

export function createShow(output: NodeJS.WriteStream, env: NodeJS.ProcessEnv, now: () => number): LoggingShow {
  const print = (line: string) => output.write(`${line}\n`);
  const canRedraw = output.isTTY && env.TERM !== "dumb";
  const screen = canRedraw ? createTerminal(output, createPaint(output)) : createLines(print, now);
  const shows = [screen, createSummary(env, print)];
  return {
    log: screen.log,
    report(report) {
      for (const show of shows) show.report(report);
    },
    end(outcome, message) {
      for (const show of shows) show.end(outcome, message);
    },
  };
}
