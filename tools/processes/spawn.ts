// Child processes that end with this one at the latest, however it ends: an "exit" handler does not run after SIGKILL.
import { type SpawnOptions, spawn as spawnUnguarded } from "node:child_process";
import { Socket } from "node:net";

/**
 * Reads lines such as `+ -123` and `- -123`, which add and remove a target of `kill`: a process, or with a minus sign a
 * process group. The input ends with its parent; then it kills the targets that are left.
 */
const script = `
left=" "
while read -r change target; do
  case $change in
    +) left="$left$target " ;;
    -) case $left in *" $target "*) left="\${left%% $target *} \${left#* $target }" ;; esac ;;
  esac
done
for target in $left; do kill -s KILL -- "$target"; done`;

let input: Socket | undefined;

/** `spawn` of Node. At the end of this process, the child is killed, with `detached` its process group. */
export const spawn = ((command: string, args: readonly string[], options: SpawnOptions = {}) => {
  const child = spawnUnguarded(command, args, options);
  if (child.pid === undefined || process.platform === "win32") return child;
  input ??= startGuard();
  const target = options.detached ? -child.pid : child.pid;
  input.write(`+ ${target}\n`);
  child.once("exit", () => input?.write(`- ${target}\n`)); // the system may give the number to another process
  return child;
}) as typeof spawnUnguarded;

function startGuard(): Socket {
  // It outlives a signal to our process group, and gets no secret of our environment.
  const guard = spawnUnguarded("/bin/sh", ["-c", script], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: {},
  });
  if (!(guard.stdin instanceof Socket)) throw new Error("The pipe to /bin/sh is not a socket.");
  // Neither keeps this process running.
  guard.unref();
  return guard.stdin.unref();
}
