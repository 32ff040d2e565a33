import { watchNpm } from "./npm.ts";

/**
 * Returns a signal that aborts on the first Ctrl-C, SIGTERM, closed terminal or closed pipe, or at the end of the npm
 * of `npm start`. A second Ctrl-C kills everything by `killAll` and exits with 130.
 */
export function listenForInterrupts(killAll: () => void): AbortSignal {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const interrupt = () => {
    controller.abort();
    firstAt ??= performance.now();
    // The terminal sends Ctrl-C to us and to npm, which passes it on: two signals for the first Ctrl-C.
    if (performance.now() - firstAt < 500) return;
    killAll();
    process.exitCode = 130;
    setTimeout(() => process.exit(), 1_000).unref(); // in case something keeps this process alive
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  process.stdout.on("error", () => controller.abort());
  watchNpm(() => controller.abort());
  return controller.signal;
}
