import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test, vi } from "vitest";
import { measure } from "../support/stopwatch.ts";

test("the stopwatch of the tests counts a wait, and of a pause of the whole process only 50 ms", async () => {
  let now = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now);
  onTestFinished(() => void clock.mockRestore());
  /** Resolves when the stopwatch has seen the time. */
  const pass = async (milliseconds: number) => {
    now += milliseconds;
    const { length } = clock.mock.calls;
    while (clock.mock.calls.length === length) await setImmediate();
  };
  const wait = async () => {
    for (const _ of Array(30)) await pass(10);
  };
  expect(await measure(wait)).toBe(300);
  expect(await measure(() => pass(2_000))).toBe(50);
  expect(await measure(() => wait().then(() => pass(2_000)))).toBe(350);
});
