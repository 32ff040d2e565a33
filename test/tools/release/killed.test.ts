import { describe, expect, test } from "vitest";
import type { RunGoal } from "../../../tools/release/goal.ts";
import { parseProgress } from "../../../tools/release/tags.ts";
import { resume, start } from "./model.ts";
import { runKilled, type Simulated, simulate } from "./simulated.ts";

const good = start({ image: "registry.example/welcome:2.0.0" });
const bad = start({ image: "registry.example/welcome:2.0.0-errors" });

/** Every other app is in the mode Multiple, and has a label of others. */
const modeOf = (number: number) => (number % 2 === 0 ? ({ mode: "Multiple" } as const) : {});
const labelsOf = (number: number) => (number % 2 === 0 ? ["blue", "other"] : ["blue"]);

/** How many requests a release takes at least that nobody kills. */
async function countRequests(goal: RunGoal): Promise<number> {
  return Math.min(await countRequestsOf(goal, 1), await countRequestsOf(goal, 2));
}

async function countRequestsOf(goal: RunGoal, number: number): Promise<number> {
  const simulated = simulate(modeOf(number));
  await simulated.run(goal);
  let last = 0;
  simulated.simulator.options.onRequest = (_, { number }) => {
    last = number;
  };
  await simulated.run(resume);
  return last - 2;
}

/** Without the times, which depend on the kill. */
function end({ simulator, rules: { violations } }: Simulated) {
  const [old, next] = simulator.app.revisions;
  const isActive = (revision: typeof old) => revision?.runs.at(-1)?.to === Number.POSITIVE_INFINITY;
  return {
    weights: simulator.weights(),
    labels: simulator.app.wanted.ingress?.traffic.map(({ label }) => label),
    phase: parseProgress(simulator.app.wanted.tags["release-progress"])?.phase,
    old: [old?.name, isActive(old)],
    next: [next?.name, isActive(next)],
    revisions: simulator.app.revisions.length,
    violations,
  };
}

describe.each(["before", "after"] as const)(
  "scenario 12: a run that is killed %s the effect of any request",
  (moment) => {
    test("leaves a good release that the next run promotes, without a request lost", { timeout: 300_000 }, async () => {
      const requests = await countRequests(good);
      expect(requests).toBeGreaterThan(200);
      for (let number = 1; number <= requests; number += 1) {
        const one = simulate(modeOf(number));
        expect(await runKilled(one, good, (request) => request.number === number, moment)).toBe("killed");
        const { outcome } = await one.run(good);
        const [old, next] = one.simulator.app.revisions.map(({ name }) => name);
        expect({ number, outcome, ...end(one) }).toMatchObject({
          number,
          outcome: expect.stringMatching(/^(promoted|nothing)$/),
          violations: [],
          weights: { [next ?? ""]: 100 },
          labels: labelsOf(number),
          phase: "promoted",
          old: [old, false],
          next: [next, true],
          revisions: 2,
        });
      }
    });

    test("leaves a bad release that the next run sends back, and never more than the first weight", {
      timeout: 300_000,
    }, async () => {
      const requests = await countRequests(bad);
      for (let number = 1; number <= requests; number += 1) {
        const one = simulate(modeOf(number));
        expect(await runKilled(one, bad, (request) => request.number === number, moment)).toBe("killed");
        const { outcome } = await one.run(bad);
        const [old, next] = one.simulator.app.revisions.map(({ name }) => name);
        expect(one.weights).toEqual([0, 5, 0]);
        expect({ number, outcome, ...end(one) }).toMatchObject({
          number,
          outcome: "rolledBack",
          violations: [],
          weights: { [old ?? ""]: 100 },
          labels: labelsOf(number),
          phase: "rolled-back",
          old: [old, true],
          next: [next, false],
          revisions: 2,
        });
      }
    });

    test("leaves an abort that the next run finishes", { timeout: 60_000 }, async () => {
      const withoutRequests = { workload: () => ({ total: 0, bad: 0 }) };
      let number = 0;
      for (let isKilled = true; isKilled; ) {
        number += 1;
        const one = simulate(withoutRequests);
        expect((await one.run(good)).outcome).toBe("held");
        let requests = 0;
        const isTarget = () => {
          requests += 1;
          return requests === number;
        };
        const ended = await runKilled(one, { kind: "abort" }, isTarget, moment);
        isKilled = ended === "killed";
        const next = await one.run({ kind: "abort" });
        expect(next.outcome).toMatch(isKilled ? /^(aborted|nothing)$/ : /^nothing$/);
        expect(end(one)).toMatchObject({ phase: "rolled-back", labels: ["blue"], violations: [] });
        expect(one.weights).toEqual([0, 5, 0]);
      }
      expect(number).toBeGreaterThan(10);
    });
  },
);
