import { describe, expect, test } from "vitest";
import type { RunGoal } from "../../../tools/release/core/goal.ts";
import { parseProgress } from "../../../tools/release/core/tags.ts";
import type { SeenRequest } from "../../simulators/container-apps/faults.ts";
import { start } from "./model.ts";
import { runKilled, type Simulated, simulate } from "./simulated.ts";

const good = start({ image: "registry.example/welcome:2.0.0" });
const bad = start({ image: "registry.example/welcome:2.0.0-errors" });

type Mode = "Single" | "Multiple";
type Moment = "before" | "after";

/** An app in the mode Multiple has a label of others, too. */
const labelsOf = { Single: ["blue"], Multiple: ["blue", "other"] } as const;

/**
 * The requests of a release at which to kill it: all that write, and of the others a quarter for each mode and moment,
 * because a request that only reads has no effect.
 */
async function listKills(goal: RunGoal, moment: Moment): Promise<(readonly [Mode, SeenRequest])[]> {
  const kills: [Mode, SeenRequest][] = [];
  for (const [index, mode] of (["Single", "Multiple"] as const).entries()) {
    const simulated = simulate({ mode });
    const turn = 2 * index + (moment === "before" ? 0 : 1);
    simulated.simulator.options.onRequest = (when, request) => {
      const isChosen = request.method !== "GET" || request.number % 4 === turn;
      if (when === "before" && isChosen) kills.push([mode, request]);
    };
    await simulated.run(goal);
  }
  return kills;
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

describe.each<Moment>(["before", "after"])(
  "scenario 12: a run that is killed %s the effect of any request",
  (moment) => {
    test("leaves a good release that the next run promotes, without a request lost", { timeout: 300_000 }, async () => {
      const kills = await listKills(good, moment);
      expect(kills.length).toBeGreaterThan(100);
      for (const [mode, { number }] of kills) {
        const one = simulate({ mode });
        expect(await runKilled(one, good, (request) => request.number === number, moment)).toBe("killed");
        const { outcome } = await one.run(good);
        const [old, next] = one.simulator.app.revisions.map(({ name }) => name);
        expect({ mode, number, outcome, ...end(one) }).toMatchObject({
          mode,
          number,
          outcome: expect.stringMatching(/^(promoted|nothing)$/),
          violations: [],
          weights: { [next ?? ""]: 100 },
          labels: labelsOf[mode],
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
      for (const [mode, { number }] of await listKills(bad, moment)) {
        const one = simulate({ mode });
        expect(await runKilled(one, bad, (request) => request.number === number, moment)).toBe("killed");
        const { outcome } = await one.run(bad);
        const [old, next] = one.simulator.app.revisions.map(({ name }) => name);
        expect(one.weights).toEqual([0, 5, 0]);
        expect({ mode, number, outcome, ...end(one) }).toMatchObject({
          mode,
          number,
          outcome: "rolledBack",
          violations: [],
          weights: { [old ?? ""]: 100 },
          labels: labelsOf[mode],
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
