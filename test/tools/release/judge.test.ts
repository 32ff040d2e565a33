import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Counts,
  compare,
  fewestBad,
  isOffWeight,
  judge,
  looksInTurn,
  looksOf,
  needed,
  type Rule,
  zOf,
} from "../../../tools/release/core/judge.ts";
import type { Definition } from "../../../tools/release/definition/definition.ts";

const of = (bad: number, total: number): Counts => ({ bad, total });
/** z of 3.14, as in the worked examples. */
const rule: Rule = { margin: 0.01, max: 0.05, looks: 59 };

const counts = fc
  .tuple(fc.nat(1e9), fc.nat(1e9))
  .map(([a, b]) => of(Math.min(a, b), Math.max(a, b)))
  .filter(({ total }) => total > 0);

describe("compare", () => {
  // Table II of Newcombe (1998), method 10, two-sided 95 %.
  test.each([
    [of(56, 70), of(48, 80), 0.0524, 0.3339],
    [of(9, 10), of(3, 10), 0.1705, 0.809],
    [of(6, 7), of(2, 7), 0.0582, 0.8062],
    [of(5, 56), of(0, 29), -0.0381, 0.1926],
    [of(0, 10), of(0, 20), -0.1611, 0.2775],
    [of(0, 10), of(0, 10), -0.2775, 0.2775],
    [of(10, 10), of(0, 20), 0.6791, 1],
    [of(10, 10), of(0, 10), 0.6075, 1],
  ])("has the limits that Newcombe published for %o and %o", (candidate, stable, low, high) => {
    const interval = compare(candidate, stable, zOf(2));
    expect(interval.low).toBeCloseTo(low, 4);
    expect(interval.high).toBeCloseTo(high, 4);
  });

  test("is from -1 to 1 without requests of one revision", () => {
    const unknown = { difference: 0, low: -1, high: 1 };
    expect(compare(of(0, 0), of(1, 100), 3)).toEqual(unknown);
    expect(compare(of(1, 100), of(0, 0), 3)).toEqual(unknown);
  });

  test("contains the difference and stays within -1 and 1, for counts up to a billion", () => {
    fc.assert(
      fc.property(counts, counts, fc.double({ min: 1.6, max: 6, noNaN: true }), (candidate, stable, z) => {
        const { difference, low, high } = compare(candidate, stable, z);
        expect(low).toBeGreaterThanOrEqual(-1 - 1e-12);
        expect(low).toBeLessThanOrEqual(difference + 1e-12);
        expect(high).toBeGreaterThanOrEqual(difference - 1e-12);
        expect(high).toBeLessThanOrEqual(1 + 1e-12);
      }),
    );
  });

  test("has the negative limits when the revisions are swapped", () => {
    fc.assert(
      fc.property(counts, counts, (candidate, stable) => {
        const [one, other] = [compare(candidate, stable, 3), compare(stable, candidate, 3)];
        expect(one.low).toBeCloseTo(-other.high, 12);
        expect(one.high).toBeCloseTo(-other.low, 12);
      }),
    );
  });

  test("is wider with a larger z", () => {
    fc.assert(
      fc.property(counts, counts, (candidate, stable) => {
        const [narrow, wide] = [compare(candidate, stable, 1.7), compare(candidate, stable, 3.5)];
        expect(wide.low).toBeLessThanOrEqual(narrow.low + 1e-12);
        expect(wide.high).toBeGreaterThanOrEqual(narrow.high - 1e-12);
      }),
    );
  });

  test("moves both limits up with each bad request of the new revision", () => {
    const small = fc.tuple(fc.nat(500), fc.integer({ min: 501, max: 5_000 })).map(([bad, total]) => of(bad, total));
    fc.assert(
      fc.property(small, small, (candidate, stable) => {
        const [fewer, more] = [candidate, of(candidate.bad + 1, candidate.total)].map((c) => compare(c, stable, 3));
        expect(more?.low).toBeGreaterThan(fewer?.low ?? 1);
        expect(more?.high).toBeGreaterThan(fewer?.high ?? 1);
      }),
    );
  });
});

describe("judge", () => {
  test("fails 3 bad of 3 against 0 of 57", () => {
    const { verdict, strict } = judge(of(3, 3), of(0, 57), rule);
    expect(verdict).toBe("fail");
    expect(strict.low).toBeCloseTo(0.22, 2);
  });

  test("does not fail 2 bad of 40 against 0 of 760", () => {
    const { verdict, strict } = judge(of(2, 40), of(0, 760), rule);
    expect(verdict).toBe("inconclusive");
    expect(strict.low).toBeCloseTo(0.0055, 4);
  });

  test("does not fail fewer than 3 bad requests, although the interval is above the margin", () => {
    const { verdict, strict } = judge(of(2, 2), of(0, 1_000), rule);
    expect(strict.low).toBeGreaterThan(rule.margin);
    expect(verdict).toBe("inconclusive");
    expect(fewestBad).toBe(3);
  });

  test("passes a margin of 1 % with 268 requests without a bad one, and not with 267", () => {
    expect(judge(of(0, 268), of(0, 268 * 19), rule).verdict).toBe("pass");
    expect(judge(of(0, 267), of(0, 267 * 19), rule).verdict).toBe("inconclusive");
  });

  test("is inconclusive without requests of one revision, even if all requests of the other are bad", () => {
    expect(judge(of(0, 0), of(0, 1_000_000), rule).verdict).toBe("inconclusive");
    expect(judge(of(1_000, 1_000), of(0, 0), rule).verdict).toBe("inconclusive");
    expect(judge(of(0, 0), of(0, 0), rule).verdict).toBe("inconclusive");
  });

  test("is an outage when both shares are above max, and a fail when the new one is proven to be worse", () => {
    expect(judge(of(100, 1_000), of(1_000, 10_000), rule).verdict).toBe("outage");
    expect(judge(of(600, 1_000), of(600, 10_000), rule).verdict).toBe("fail");
    expect(judge(of(100, 1_000), of(400, 10_000), rule).verdict).toBe("fail");
  });

  test("neither passes nor is an outage while chance explains that both shares are above max", () => {
    expect(judge(of(1, 15), of(1, 15), rule).verdict).toBe("inconclusive");
    expect(judge(of(5_100, 100_000), of(5_100, 100_000), { ...rule, margin: 0.02 }).verdict).toBe("inconclusive");
    expect(judge(of(5_000, 100_000), of(5_000, 100_000), { ...rule, margin: 0.02 }).verdict).toBe("pass");
  });

  test("is no outage while chance explains that one of the two shares is above max", () => {
    expect(judge(of(600, 1_000), of(9, 15), { ...rule, max: 0.5 }).verdict).toBe("inconclusive");
    expect(judge(of(9, 15), of(600, 1_000), { ...rule, max: 0.5 }).verdict).toBe("inconclusive");
    expect(judge(of(600, 1_000), of(600, 1_000), { ...rule, max: 0.5 }).verdict).toBe("outage");
  });

  test("never fails and passes on the same counts, and never passes a larger difference than the margin", () => {
    fc.assert(
      fc.property(counts, counts, fc.integer({ min: 1, max: 10_000 }), (candidate, stable, looks) => {
        const { verdict, strict, usual } = judge(candidate, stable, { ...rule, looks });
        if (verdict === "pass") expect(usual.difference).toBeLessThanOrEqual(rule.margin);
        if (verdict === "fail") expect(strict.difference).toBeGreaterThan(rule.margin);
      }),
    );
  });
});

describe("zOf", () => {
  // One-sided quantiles of the normal distribution, from R: qnorm(0.05 / looks, lower.tail = FALSE).
  test.each([
    [1, 1.6448536269514722],
    [2, 1.959963984540054],
    [5, 2.3263478740408408],
    [10, 2.5758293035489004],
    [50, 3.090232306167813],
    [500, 3.719016485455709],
    [50_000, 4.753424308822899],
  ])("is the quantile for %i looks", (looks, z) => {
    expect(zOf(looks)).toBeCloseTo(z, 9);
  });
});

describe("looksOf", () => {
  const definition: Definition = {
    app: "welcome",
    labels: { live: "blue", next: "green" },
    test: [],
    steps: [5, 25].map((weight) => ({ weight, for: 600, confirm: false })),
    bake: 900,
    checks: [
      { name: "5xx", source: "metrics", margin: 0.01, max: 0.05, lag: 240 },
      { name: "slow", source: "httpLogs", over: 0.5, margin: 0.02, max: 1, lag: 360 },
      { name: "alive", source: "probe", get: "/readyz", every: 5, failures: 3 },
    ],
    inconclusive: { extend: 1_200, then: "hold" },
  };

  test("counts the minutes of all steps and of the bake, each extended, for each check of a share", () => {
    expect(looksOf(definition)).toBe((10 + 10 + 15 + 3 * 20) * 2);
  });

  test("is 1 for a release that compares no shares", () => {
    expect(looksOf({ ...definition, checks: definition.checks.slice(2) })).toBe(1);
  });
});

describe("looksInTurn", () => {
  test("keeps the looks of the first turn, and adds at most half of its risk in all turns of a hold", () => {
    expect(looksInTurn(125, 1)).toBe(125);
    let added = 0;
    for (let turn = 2; turn <= 100_000; turn += 1) added += 125 / looksInTurn(125, turn);
    expect(added).toBeGreaterThan(0.499);
    expect(added).toBeLessThan(0.5);
  });
});

describe("needed", () => {
  test("is 268 requests for a margin of 1 % without a bad request", () => {
    expect(needed(of(0, 0), of(0, 0), rule, 5)).toBe(268);
    expect(needed(of(0, 100), of(0, 1_900), rule, 5)).toBe(168);
    expect(needed(of(0, 268), of(0, 5_092), rule, 5)).toBe(0);
  });

  test("assumes the share of the live revision while the new one has no requests", () => {
    const before = needed(of(0, 0), of(20, 1_000), rule, 5) ?? 0;
    expect(before).toBeGreaterThan(268);
    expect(judge(of(before * 0.02, before), of(20 + before * 0.02 * 19, 1_000 + before * 19), rule).verdict).toBe(
      "pass",
    );
  });

  test("is the smallest number with which judge passes when the shares stay", () => {
    const weights = fc.constantFrom(1, 5, 25, 50, 100);
    const some = fc.tuple(fc.nat(5), fc.integer({ min: 100, max: 2_000 })).map(([bad, total]) => of(bad, total));
    fc.assert(
      fc.property(some, some, weights, (candidate, stable, weight) => {
        const more = needed(candidate, stable, rule, weight);
        const highAfter = (number: number) => {
          const grow = ({ bad, total }: Counts, by: number) => of(bad * (1 + by / total), total + by);
          return compare(grow(candidate, number), grow(stable, (number * (100 - weight)) / weight), zOf(1)).high;
        };
        if (more === undefined) expect(highAfter(1e6)).toBeGreaterThan(rule.margin);
        else expect(highAfter(more)).toBeLessThanOrEqual(rule.margin);
        if (more) expect(highAfter(more - 1)).toBeGreaterThan(rule.margin);
      }),
    );
  });

  test("is undefined when the difference of the shares is the margin or more, and in the bake without live requests", () => {
    expect(needed(of(1, 100), of(0, 1_900), rule, 5)).toBeUndefined();
    expect(needed(of(0, 100), of(0, 0), rule, 100)).toBeUndefined();
  });
});

describe("isOffWeight", () => {
  test("allows 5 percentage points and 5 standard deviations, whichever is more", () => {
    expect(isOffWeight(of(0, 99), of(0, 901), 5)).toBe(false);
    expect(isOffWeight(of(0, 101), of(0, 899), 5)).toBe(true);
    expect(isOffWeight(of(0, 4), of(0, 6), 5)).toBe(true);
    expect(isOffWeight(of(0, 3), of(0, 7), 5)).toBe(false);
    expect(isOffWeight(of(0, 0), of(0, 1_000), 25)).toBe(true);
  });

  test("does not count probes as too many requests, nor lets them hide too few", () => {
    expect(isOffWeight(of(30, 100), of(0, 247), 5, 20)).toBe(true);
    expect(isOffWeight(of(0, 30), of(0, 217), 5)).toBe(true);
    expect(isOffWeight(of(0, 30), of(0, 217), 5, 20)).toBe(false);
    expect(isOffWeight(of(0, 100), of(0, 900), 25, 1_000)).toBe(true);
    expect(isOffWeight(of(0, 345), of(0, 675), 25, 1_000)).toBe(false);
  });

  test("is false without requests", () => {
    expect(isOffWeight(of(0, 0), of(0, 0), 5)).toBe(false);
  });
});
