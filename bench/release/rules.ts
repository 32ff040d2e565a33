// The rule of tools/release and those of Flagger and smartdeploy. Each sees the same traffic and takes the same steps.
// Only the counts of the first are late: the other two do not say how they handle that.

import { type Counts, judge, looksOf } from "../../tools/release/core/judge.ts";
import type { Definition } from "../../tools/release/definition/definition.ts";
import type { Minute, Stream } from "./traffic.ts";

export interface Ending {
  readonly outcome: "promoted" | "rolled back" | "held";
  /** Requests that the new version served until then. */
  readonly served: number;
}

export type Rule = (stream: Stream, definition: Definition) => Ending;

const none: Counts = { bad: 0, total: 0 };

/** The steps, and the bake as a step with all traffic. */
const listPhases = ({ steps, bake }: Definition) => [...steps, { weight: 100, for: bake }];

/** Judges in each minute, with counts that are as late as those of Azure, as tools/release does. */
export const newcombe: Rule = (stream, definition) => {
  const checks = definition.checks.filter((check) => check.source !== "probe");
  const looks = looksOf(definition);
  const counters = checks.map(() => createCounter());
  let now = 0;
  let served = 0;
  for (const { weight, for: seconds } of listPhases(definition)) {
    const end = seconds / 60;
    for (const counter of counters) counter.start(weight);
    for (let minute = 1; ; minute += 1) {
      const requests = stream(now, weight);
      now += 1;
      served += requests.candidate[0]?.total ?? 0;
      const verdicts = checks.map((check, index) => {
        const counter = counters[index] as Counter;
        counter.add(requests, index);
        const { candidate, stable } = counter.read(Math.ceil(check.lag / 60));
        return judge(candidate, stable, { ...check, looks }).verdict;
      });
      if (verdicts.includes("fail")) return { outcome: "rolled back", served };
      if (verdicts.includes("outage")) return { outcome: "held", served };
      if (minute >= end && verdicts.every((verdict) => verdict === "pass")) break;
      if (minute >= end + definition.inconclusive.extend / 60) return { outcome: "held", served };
    }
  }
  return { outcome: "promoted", served };
};

type Counter = ReturnType<typeof createCounter>;

/** Sums the requests of a check since a step started. In the bake, the live version keeps those of the last step. */
function createCounter() {
  let sums = [{ candidate: none, stable: none }];
  const last = () => sums.at(-1) ?? { candidate: none, stable: none };
  return {
    start(weight: number) {
      sums = [{ candidate: none, stable: weight === 100 ? last().stable : none }];
    },
    add({ candidate, stable }: Minute, check: number) {
      const isFirst = sums.length === 1; // the weight changes during this minute
      const sum = last();
      sums.push(
        isFirst ? sum : { candidate: plus(sum.candidate, candidate[check]), stable: plus(sum.stable, stable[check]) },
      );
    },
    /** @param lag minutes that are not counted yet */
    read: (lag: number) => sums[Math.max(0, sums.length - 1 - lag)] ?? last(),
  };
}

const plus = (a: Counts, b = none): Counts => ({ bad: a.bad + b.bad, total: a.total + b.total });

/**
 * Flagger compares the last minute of the new version alone with a threshold, and goes back when the number of failed
 * checks reaches a budget. A minute without requests is a failed check. A failed check prolongs the step.
 * https://docs.flagger.app/usage/how-it-works
 *
 * @param threshold largest share of bad requests
 */
export const flagger =
  (threshold: number, budget = 5): Rule =>
  (stream, definition) => {
    let now = 0;
    let served = 0;
    let failed = 0;
    for (const { weight, for: seconds } of listPhases(definition)) {
      for (let passed = 0; passed < seconds / 60; ) {
        const [counts = none] = stream(now, weight).candidate;
        now += 1;
        served += counts.total;
        if (counts.total > 0 && counts.bad / counts.total <= threshold) passed += 1;
        else failed += 1;
        if (failed === budget) return { outcome: "rolled back", served };
      }
    }
    return { outcome: "promoted", served };
  };

/**
 * smartdeploy compares the new version alone, since the start of the step, with a threshold, and goes back at once.
 * https://github.com/t-amberwang/smartdeploy
 *
 * @param threshold largest share of bad requests
 */
export const smartdeploy =
  (threshold: number): Rule =>
  (stream, definition) => {
    let now = 0;
    let served = 0;
    for (const { weight, for: seconds } of listPhases(definition)) {
      let sum = none;
      for (let minute = 0; minute < seconds / 60; minute += 1) {
        const [counts = none] = stream(now, weight).candidate;
        now += 1;
        served += counts.total;
        sum = plus(sum, counts);
        if (sum.bad / sum.total > threshold) return { outcome: "rolled back", served }; // not with 0 / 0
      }
    }
    return { outcome: "promoted", served };
  };
