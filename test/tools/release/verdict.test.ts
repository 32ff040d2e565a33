import { describe, expect, test } from "vitest";
import { compare, looksOf, zOf } from "../../../tools/release/core/judge.ts";
import type { Underway } from "../../../tools/release/core/state.ts";
import { failureOf, isSplitWrong, judgeChecks, whyUndecided } from "../../../tools/release/core/verdict.ts";
import { nothingSeen, type Seen, type Sides } from "../../../tools/release/core/windows.ts";
import { definition } from "./model.ts";

const state: Underway = {
  kind: "underway",
  progress: { id: "r00000000", phase: "step", step: 1, since: 0, from: "welcome--old" },
  isLost: false,
  isTagged: true,
  isChanged: false,
  live: undefined,
  next: undefined,
  nextName: "welcome--r00000000",
  weight: 5,
  isBack: false,
};
const none = { bad: 0, total: 0 };
const seeing = (sides: Partial<Sides>): Seen => ({
  ...nothingSeen,
  counts: new Map([["5xx", { next: none, live: none, ...sides }]]),
});

describe("the verdict about a check", () => {
  const counts = { next: { bad: 12, total: 300 }, live: { bad: 0, total: 5_700 } };

  test("fails later in a hold on the same counts, because its window has moved", () => {
    expect(judgeChecks(definition, state, seeing(counts))[0]?.verdict).toBe("fail");
    expect(judgeChecks(definition, state, seeing({ ...counts, turn: 1 }))[0]?.verdict).toBe("fail");
    expect(judgeChecks(definition, state, seeing({ ...counts, turn: 180 }))[0]?.verdict).toBe("inconclusive");
    expect(failureOf(definition, state, seeing({ ...counts, turn: 180 }))).toBeUndefined();
  });

  test("shows the interval that decided: the wide one for a fail, else the narrow one", () => {
    const { next, live } = counts;
    const strict = compare(next, live, zOf(looksOf(definition)));
    expect(judgeChecks(definition, state, seeing(counts))[0]).toMatchObject({ low: strict.low, high: strict.high });
    const few = { next: { bad: 2, total: 40 }, live: { bad: 0, total: 760 } };
    const usual = compare(few.next, few.live, zOf(1));
    expect(judgeChecks(definition, state, seeing(few))[0]).toMatchObject({ low: usual.low, high: usual.high });
  });
});

describe("a phase that does not pass", () => {
  test("is silent before it is blind, and blind before it is inconclusive", () => {
    const silent = new Set(["alive"]);
    expect(whyUndecided(definition, { ...nothingSeen, silent })).toBe("silent");
    expect(whyUndecided(definition, nothingSeen)).toBe("blind");
    expect(whyUndecided(definition, seeing({}))).toBe("inconclusive");
  });
});

describe("the split of the requests", () => {
  test("is wrong in a step whose new revision has no requests, and never in the bake", () => {
    const seen = seeing({ live: { bad: 0, total: 1_000 } });
    const half = { ...state, weight: 50 };
    expect(isSplitWrong(definition, half, seen)).toBe(true);
    expect(isSplitWrong(definition, { ...half, progress: { ...state.progress, phase: "bake" } }, seen)).toBe(false);
  });
});
