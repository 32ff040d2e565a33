import { describe, expect, test } from "vitest";
import { simulateRelease, simulateRivals } from "../../../bench/release/simulate.ts";

describe("2,000 simulated releases", () => {
  test.each([
    [0.2, 0.02],
    [1, 0.02],
    [3, 0.05],
    [10, 0.005],
  ])("at %d requests/s and a share of %d bad requests, at most 5 percent end wrong", (perSecond, base) => {
    const { same, twice } = simulateRelease(2_000, perSecond, base);
    expect(same["rolled back"]).toBeLessThanOrEqual(0.05);
    expect(twice.promoted).toBeLessThanOrEqual(0.05);
  });
});

describe("500 simulated releases", () => {
  test("promote most new versions without a difference when there are enough requests", () => {
    expect(simulateRelease(500, 10, 0.001).same.promoted).toBeGreaterThan(0.95);
  });

  test("roll back every new version with 20 % more bad requests", () => {
    expect(simulateRivals(500, 10, 0.02, 0.2).release["rolled back"]).toBe(1);
  });

  test.each([
    [10, 0.005],
    [10, 0.02],
    [1, 0.005],
  ] as const)(
    "at %d requests/s and a share of %d bad requests, roll back fewer new versions without a difference than the rules with a threshold",
    (perSecond, base) => {
      const { release, ...rivals } = simulateRivals(500, perSecond, base, 0);
      for (const rival of Object.values(rivals)) expect(release["rolled back"]).toBeLessThan(rival["rolled back"]);
    },
  );
});
