import { describe, expect, test } from "vitest";
import { flagger, newcombe, smartdeploy } from "../../../bench/release/rules.ts";
import { simulateRelease, simulateRivals } from "../../../bench/release/simulate.ts";
import type { Definition } from "../../../tools/release/definition.ts";

describe("scenario 11: 2,000 simulated releases", () => {
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

describe("the compared rules", () => {
  const definition: Definition = {
    app: "welcome",
    labels: { live: "blue", next: "green" },
    test: [],
    steps: [{ weight: 50, for: 600, confirm: false }],
    bake: 300,
    checks: [{ name: "5xx", source: "metrics", margin: 0.01, max: 0.05, lag: 240 }],
    inconclusive: { extend: 300, then: "hold" },
  };
  const always = (bad: number, total: number) => () => ({ candidate: [{ bad, total }], stable: [{ bad: 0, total }] });

  test("without requests, Flagger rolls back, smartdeploy promotes, and this rule holds", () => {
    const outcomes = [flagger(0.01), smartdeploy(0.01), newcombe].map((rule) => rule(always(0, 0), definition).outcome);
    expect(outcomes).toEqual(["rolled back", "promoted", "held"]);
  });

  test("with errors, Flagger rolls back after five minutes, smartdeploy after one, and this rule after one that Azure has counted", () => {
    const served = [flagger(0.01), smartdeploy(0.01), newcombe].map((rule) => rule(always(20, 100), definition).served);
    // The change of the weight takes the first minute, and Azure counts the second one four minutes later.
    expect(served).toEqual([500, 100, 600]);
  });

  test("without errors, all promote", () => {
    const endings = [flagger(0.01), smartdeploy(0.01), newcombe].map(
      (rule) => rule(always(0, 300), definition).outcome,
    );
    expect(endings).toEqual(["promoted", "promoted", "promoted"]);
  });
});
