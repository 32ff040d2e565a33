// Chooses what prints a release: a live table in a terminal, plain lines elsewhere, and in GitHub Actions its summary.
import type { Show } from "../report.ts";
import { createLines } from "./lines.ts";
import { createSummary } from "./summary.ts";
import { createPaint, createTerminal } from "./terminal.ts";

export function createShow(output: NodeJS.WriteStream, env: NodeJS.ProcessEnv, now: () => number): Show {
  const print = (line: string) => output.write(`${line}\n`);
  const canRedraw = output.isTTY && env.TERM !== "dumb";
  const shows = [
    canRedraw ? createTerminal(output, createPaint(output)) : createLines(print, now),
    createSummary(env, print),
  ];
  return {
    report(report) {
      for (const show of shows) show.report(report);
    },
    end(outcome, message) {
      for (const show of shows) show.end(outcome, message);
    },
  };
}
