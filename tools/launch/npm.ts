// Notices when the npm that started this process has ended. A signal to npm's pid does not arrive in this process: npm
// passes SIGTERM on to its `sh -c`, which dies of it and leaves its child running, and SIGKILL ends npm alone.
import { readFileSync } from "node:fs";

/** Calls `onEnd` at most half a second after the npm of `npm start` has ended. Does nothing without npm. */
export function watchNpm(onEnd: () => void): void {
  const script = process.env.npm_lifecycle_script;
  // Not `npm start`: there is no npm, or another npm script opened this terminal.
  if (!script?.includes("tools/launch/start.ts")) return;
  const parents = listParents(script);
  if (!isInOurGroup(parents.at(-1))) {
    onEnd(); // npm ended while this process started
    return;
  }
  const timer = setInterval(() => {
    // The system gives the children of an ended process to another parent.
    if (listParents(script).join() === parents.join()) return;
    clearInterval(timer);
    onEnd();
  }, 300);
  timer.unref();
}

/** The processes up to npm: only npm, where its shell has replaced itself with the script, as bash and zsh do. */
function listParents(script: string): number[] {
  const { ppid } = process;
  try {
    const isShell = readFileSync(`/proc/${ppid}/cmdline`, "utf8").includes(script);
    return isShell ? [ppid, readStat(ppid).parent] : [ppid];
  } catch {
    return [ppid]; // no /proc, or the parent has just ended
  }
}

/** npm runs its scripts in its own process group, which the system's process 1 does not belong to. */
function isInOurGroup(pid = process.pid): boolean {
  try {
    return readStat(pid).group === readStat(process.pid).group;
  } catch {
    return process.platform !== "linux"; // no /proc, so the group is unknown
  }
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function readStat(pid: number): { parent: number; group: number } {
  const afterName = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1) ?? "";
  const [, parent, group] = afterName.split(" ").map(Number);
  return { parent: parent ?? Number.NaN, group: group ?? Number.NaN };
}
