import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { measure } from "../support/stopwatch.ts";

test("the stopwatch of the tests counts a wait, and hardly a pause of the whole process", async () => {
  expect(await measure(() => sleep(300))).toBeGreaterThan(250);
  const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000);
  expect(await measure(async () => pause())).toBeLessThan(1_000);
});
