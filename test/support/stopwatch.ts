import { setInterval } from "node:timers";

/** A pause of this process that is longer counts as this many milliseconds: the machine was busy or stopped. */
const LONGEST_PAUSE_MS = 50;

/**
 * Measures in milliseconds how long `run` takes, without the time in which this process did not run. So an upper bound
 * fails for a program that waits too long, and not on a machine that was stopped meanwhile.
 */
export async function measure(run: () => PromiseLike<unknown>): Promise<number> {
  let measured = 0;
  let last = performance.now();
  const count = () => {
    const now = performance.now();
    measured += Math.min(now - last, LONGEST_PAUSE_MS);
    last = now;
  };
  const timer = setInterval(count, 10);
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
  count();
  return measured;
}
