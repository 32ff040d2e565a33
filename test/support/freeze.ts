import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";

/** Stops a process. On a busy machine some of its threads run on after SIGSTOP, and could still answer a call. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  if (process.platform !== "linux") return;
  const threads = () => readdirSync(`/proc/${pid}/task`);
  const state = (thread: string) => /\) (\w) /.exec(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"))?.[1];
  await expect.poll(() => new Set(threads().map(state)), { timeout: 10_000 }).toEqual(new Set(["T"]));
}
