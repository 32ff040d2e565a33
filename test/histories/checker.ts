// Judges histories of concurrent clients. `npx node test/histories/checker.ts FILE` judges those that a run kept.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findTools } from "../support/go-tools.ts";
import { run } from "../support/processes.ts";

/** A value, or null where the key is missing. */
export type Value = string | null;

/** One operation on the keys of a history. Times are microseconds on one clock. */
export interface Operation {
  readonly client: number;
  readonly start: number;
  readonly end: number;
  /**
   * - ok: it took effect, or returned what it read.
   * - rejected: its condition did not hold at some moment, and nothing was changed.
   * - failed: nothing was changed.
   * - unknown: it takes effect at any moment after its start, or never.
   */
  readonly outcome: "ok" | "rejected" | "failed" | "unknown";
  /** Shown with it when the history fails. */
  readonly note?: string;
  readonly read?: { readonly key: string; readonly value: Value };
  readonly changes?: readonly { readonly key: string; readonly value: Value }[];
  /** The key has any value, or this one; null: it is missing. */
  readonly condition?: { readonly key: string; readonly present?: true; readonly value: Value };
  /** A read that must see the current state, even if `lag` is above 0. */
  readonly current?: true;
}

/** All operations on one key, or on the keys of one partition. Each value is written at most once. */
export interface History {
  readonly name: string;
  readonly keys: readonly string[];
  /** Microseconds by which reads and rejections may be late. Default 0. */
  readonly lag?: number;
  readonly operations: readonly Operation[];
}

export interface Verdict {
  readonly name: string;
  readonly verdict: "linearizable" | "not linearizable" | "stale read" | "unfounded rejection" | "inconclusive";
  readonly explanation?: readonly string[];
  /** File of the timeline, unless the verdict is inconclusive. */
  readonly drawing?: string;
}

/** Where failed histories are kept, as timelines and as JSON; .gitignore has it. */
const failures = join(import.meta.dirname, "failures");

/** Judges histories with the checker in tools/checker. */
export async function check(histories: readonly History[], { timeout = "30s", draw = true } = {}): Promise<Verdict[]> {
  mkdirSync(failures, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "checker-"));
  const input = join(folder, "histories.json");
  writeFileSync(input, JSON.stringify(histories));
  try {
    const checker = join(await findTools("checker"), "checker");
    const { ended, output } = run(checker, [
      "-timeout",
      timeout,
      "-input",
      input,
      ...(draw ? ["-drawings", failures] : []),
    ]);
    const { code } = await ended;
    if (code !== 0) throw new Error(`the checker failed:\n${output()}`);
    return JSON.parse(output());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Where histories of this name are kept. */
export function fileOf(name: string): string {
  return join(failures, `${name.replaceAll(/[^\w.-]+/g, "-")}.json`);
}

/** Keeps histories as JSON, which the command at the top of this file judges again. Returns the file. */
export function keep(file: string, histories: readonly History[]): string {
  mkdirSync(failures, { recursive: true });
  writeFileSync(file, JSON.stringify(histories));
  return file;
}

if (import.meta.main) {
  const kept = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"));
  console.log(JSON.stringify(await check(kept), undefined, 2));
}
