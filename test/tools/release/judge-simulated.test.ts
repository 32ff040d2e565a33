import { describe, expect, test } from "vitest";
import { flagger, newcombe, smartdeploy } from "../../../bench/release/rules.ts";
import { simulateClumps, simulateRelease, simulateRivals } from "../../../bench/release/simulate.ts";
import { createStream } from "../../../bench/release/traffic.ts";
import { type Counts, judge, looksInTurn } from "../../../tools/release/core/judge.ts";
import type { Definition } from "../../../tools/release/definition/definition.ts";

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

describe("errors that come together", () => {
  test("20 at a time, among 2 % of the requests, roll back more than 5 % of the new versions without a difference", () => {
    expect(simulateClumps(500, 0.02, 1)["rolled back"]).toBeLessThanOrEqual(0.05);
    expect(simulateClumps(500, 0.02, 20)["rolled back"]).toBeGreaterThan(0.05);
  });
});

describe("300 holds of 12 hours, by windows of 30 minutes and a margin of 0", () => {
  test("roll back at most 5 % of the new versions without a difference, because later turns count for more looks", () => {
    expect(shareOfFails((turn) => looksInTurn(30, turn))).toBeLessThanOrEqual(0.05);
    expect(shareOfFails(() => 30)).toBeGreaterThan(0.05);
  });

  function shareOfFails(looksOf: (turn: number) => number): number {
    const seeds = Array.from({ length: 300 }, (_, index) => index + 1);
    return seeds.filter((seed) => fails(seed, looksOf)).length / seeds.length;
  }

  function fails(seed: number, looksOf: (turn: number) => number): boolean {
    const stream = createStream({ perSecond: 10, base: [0.02], worse: [0] }, seed);
    const sums = [{ candidate: { bad: 0, total: 0 }, stable: { bad: 0, total: 0 } }];
    for (let minute = 1; minute <= 12 * 60; minute += 1) {
      const { candidate, stable } = stream(minute, 25);
      const [last, first] = [sums.at(-1), sums[Math.max(0, minute - 30)]];
      if (!last || !first) throw new Error("there is a sum for each minute");
      const sum = { candidate: plus(last.candidate, candidate[0], 1), stable: plus(last.stable, stable[0], 1) };
      sums.push(sum);
      const rule = { margin: 0, max: 1, looks: looksOf(Math.ceil(minute / 30)) };
      const { verdict } = judge(plus(sum.candidate, first.candidate, -1), plus(sum.stable, first.stable, -1), rule);
      if (verdict === "fail") return true;
    }
    return false;
  }

  function plus(a: Counts, b: Counts = { bad: 0, total: 0 }, sign: 1 | -1): Counts {
    return { bad: a.bad + sign * b.bad, total: a.total + sign * b.total };
  }
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
