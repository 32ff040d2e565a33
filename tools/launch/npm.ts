// Notices when the npm that started this process has ended. A signal to npm's pid does not arrive in this process: npm
// passes SIGTERM on to its `sh -c`, which dies of it and leaves its child running, and SIGKILL ends npm alone.
import { readFileSync } from "node:fs";

/** Calls `onEnd` at most half a second after the npm of `npm start` has ended. Does nothing without npm. */
export function watchNpm(onEnd: () => void): void {
  const script = process.env.npm_lifecycle_event === "start" ? process.env.npm_lifecycle_script : undefined;
  if (script === undefined) return;
  const first = listParents(script).join();
  const timer = setInterval(() => {
    // The system gives the children of an ended process to another parent.
    if (listParents(script).join() === first) return;
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
    if (!isShell) return [ppid];
    const afterName = readFileSync(`/proc/${ppid}/stat`, "utf8").split(") ").at(-1); // state, ppid, …
    return [ppid, Number(afterName?.split(" ")[1])];
  } catch {
    return [ppid]; // no /proc, or the parent has just ended
  }
}
