import { existsSync, mkdirSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { takeLock } from "./lock.mjs";
import type { Report } from "./progress.ts";

/**
 * Returns `path` once that file or folder exists. The first caller creates it under another name and renames it when it
 * is complete; other processes wait for that.
 *
 * @param what name of the file or folder in the progress line
 * @param make creates the file or folder at the path `unfinished`
 */
export async function makeOnce(
  path: string,
  what: string,
  { report, signal }: { report: Report; signal: AbortSignal },
  make: (unfinished: string) => Promise<void>,
): Promise<string> {
  if (existsSync(path)) return path;
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = join(dirname(path), `making-${basename(path)}`);
  const reportWait = (port: number) =>
    report(`another run is creating ${what} (it holds port ${port} as a lock); waiting for it`);
  const release = await takeLock(path, reportWait, signal);
  try {
    if (existsSync(path)) return path; // made by the run that held the lock
    await rm(unfinished, { recursive: true, force: true }); // from a killed run
    await make(unfinished);
    await rename(unfinished, path);
    return path;
  } finally {
    await rm(unfinished, { recursive: true, force: true });
    release();
    report("");
  }
}
