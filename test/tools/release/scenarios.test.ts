import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Definition } from "../../../tools/release/definition.ts";
import type { Goal } from "../../../tools/release/goal.ts";
import { parseProgress } from "../../../tools/release/tags.ts";
import { faults } from "../../simulators/container-apps/faults.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import type { SimulatorOptions } from "../../simulators/container-apps/simulator.ts";
import { resume, start } from "./model.ts";
import { quickDefinition, type RunOptions, runKilled, type Simulated, simulate } from "./simulated.ts";

const goal = (variant = "good") => start({ image: `registry.example/welcome:2.0.0-${variant}` });
const abort: Goal = { kind: "abort" };
const promote: Goal = { kind: "promote", force: false };

const phaseOf = ({ simulator }: Simulated) => parseProgress(simulator.app.wanted.tags.release)?.phase;
const activeOf = ({ simulator }: Simulated) =>
  simulator.app.revisions.filter(({ runs }) => runs.at(-1)?.to === Number.POSITIVE_INFINITY).map(({ name }) => name);

/** The usual end: one run, the weights that were in force, and no rule broken. */
async function release(variant: string, options: SimulatorOptions = {}, run: RunOptions = {}) {
  const simulated = simulate(options);
  const ended = await simulated.run(goal(variant), run);
  return { ...ended, simulated, weights: simulated.weights };
}

describe("a release", () => {
  test("of a good revision is promoted, and the old revision stops", async () => {
    const { outcome, weights, simulated } = await release("good");
    expect({ outcome, weights }).toEqual({ outcome: "promoted", weights: [0, 5, 50, 100] });
    expect(simulated.rules.violations).toEqual([]);
    expect(activeOf(simulated)).toEqual([simulated.simulator.app.revisions[1]?.name]);
  });

  test.each([
    ["broken", "GET / at the new revision: status 500", [0]],
    ["never-ready", "did not become ready within 10 minutes", [0]],
    ["activation-failed", "did not become ready within 10 minutes", [0]],
    ["errors", "check 5xx", [0, 5, 0]],
    ["errors-at-50", "check 5xx", [0, 5, 50, 0]],
    ["crash-at-100", "", [0, 5, 50, 100, 0]],
  ])("of the revision %s is rolled back: %s", async (variant, reason, weights) => {
    const ended = await release(variant);
    expect(ended.outcome).toBe("rolledBack");
    expect(ended.message).toContain(reason);
    expect(ended.weights).toEqual(weights);
    expect(phaseOf(ended.simulated)).toBe("rolled-back");
    expect(activeOf(ended.simulated)).toEqual([ended.simulated.simulator.app.revisions[0]?.name]);
  });

  test("of a slow revision is rolled back by its logs", async () => {
    const slow = { name: "slow", source: "httpLogs", over: 0.5, margin: 0.02, max: 0.5, lag: 60 } as const;
    const definition: Definition = { ...quickDefinition, checks: [slow] };
    const simulated = simulate({}, definition);
    simulated.simulator.options.logLag = 30;
    const { outcome, message } = await simulated.run(goal("slow"));
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("check slow");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test.each<[string, SimulatorOptions, (simulated: Simulated) => void]>([
    ["without requests", { workload: () => ({ total: 0, bad: 0 }) }, () => {}],
    ["without metrics", {}, ({ simulator }) => Object.assign(simulator.options, { hasMetrics: false })],
    ["with too few requests", { workload: steady({ perSecond: 0.2 }) }, () => {}],
  ])("%s holds at the first step, and goes on with promote", async (_, options, prepare) => {
    const simulated = simulate(options);
    prepare(simulated);
    const held = await simulated.run(goal());
    expect(held.outcome).toBe("held");
    expect(simulated.weights).toEqual([0, 5]);
    expect((await simulated.run(promote)).outcome).toBe("held");
    expect(simulated.weights).toEqual([0, 5, 50]);
    expect((await simulated.run(promote)).outcome).toBe("held");
    expect((await simulated.run(promote)).outcome).toBe("promoted");
    expect(simulated.weights).toEqual([0, 5, 50, 100]);
    expect(simulated.rules.violations).toEqual([]);
  });

  test("holds in an outage of both revisions", async () => {
    const { outcome, message } = await release("good", { workload: steady({ perSecond: 60, errors: 0.8 }) });
    expect(outcome).toBe("held");
    expect(message).toContain("at both revisions");
  });

  test("holds when Azure shows weights that are not in force", async () => {
    const simulated = simulate();
    const ended = await simulated.run(goal(), {
      onReport: ({ phase }) => {
        if (phase === "step 1 of 2" && simulated.weights.includes(5))
          simulated.simulator.app.switches.keepsWeights = true;
      },
    });
    expect(ended.outcome).toBe("held");
    expect(ended.message).toContain("another share of the requests than its weight");
    expect(simulated.weights).toEqual([0, 5]);
  });
});

describe("a dead run", () => {
  test("is taken over by a watchdog without an image, after its lock has expired", async () => {
    const simulated = simulate();
    const dead = await runKilled(simulated, goal(), ({ number }) => number === 120, "after");
    expect(dead).toBe("killed");
    expect((await simulated.run(resume)).outcome).toBe("ongoing");
    simulated.simulator.virtualClock.advance(5 * 60_000);
    expect((await simulated.run(resume)).outcome).toBe("promoted");
    expect(simulated.rules.violations).toEqual([]);
  });

  test("is taken over by ticks of at most one change each, which leave no lock", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    const once = { ...goal(), once: true };
    const outcomes: string[] = [];
    while (outcomes.at(-1) !== "promoted" && outcomes.length < 100) {
      let changes = 0;
      simulator.options.intercept = ({ method, body }) => {
        const isChange = method === "PATCH" && JSON.parse(body).tags.release !== simulator.app.wanted.tags.release;
        if (isChange || method === "POST") changes += 1;
        return undefined;
      };
      outcomes.push((await simulated.run(once)).outcome);
      expect(changes).toBeLessThanOrEqual(1);
      expect(simulator.app.wanted.tags["release-lock"]).toBeUndefined();
      simulator.virtualClock.advance(60_000);
    }
    expect(new Set(outcomes)).toEqual(new Set(["ongoing", "promoted"]));
    expect(simulated.weights).toEqual([0, 5, 50, 100]);
    expect(simulated.rules.violations).toEqual([]);
  });
});

describe("two starts", () => {
  test("of different images release one of them, and the other says how to end that", async () => {
    const simulated = simulate();
    const { virtualClock } = simulated.simulator;
    virtualClock.runners = 2;
    const run = async (owner: string, image: string) => {
      const ended = await simulated.run(start({ image }), { owner });
      virtualClock.runners -= 1;
      return ended;
    };
    const [one, other] = await Promise.all([
      run("one", "registry.example/welcome:2"),
      run("two", "registry.example/welcome:3"),
    ]);
    const [promoted, refused] = one.outcome === "promoted" ? [one, other] : [other, one];
    expect([promoted.outcome, refused.outcome]).toEqual(["promoted", "input"]);
    expect(refused.message).toMatch(
      /^the release of welcome--r[0-9a-f]{8} .* is under way: .*`npm run release -- abort welcome`$/,
    );
    expect(simulated.simulator.app.revisions).toHaveLength(2);
    expect(simulated.rules.violations).toEqual([]);
  });
});

describe("a computer whose clock is wrong", () => {
  test.each([-3_600_000, 3_600_000])("by %i ms releases as any other, by the clock of Azure", async (skew) => {
    const simulated = simulate();
    const local = simulated.simulator.virtualClock;
    const clock = { now: () => local.now() + skew, sleep: local.sleep };
    const { outcome } = await simulated.run(goal(), { clock });
    expect(outcome).toBe("promoted");
    expect(simulated.weights).toEqual([0, 5, 50, 100]);
    // Half an hour of virtual time at most: no wait depends on the wrong clock.
    expect(local.now() - Date.parse("2026-10-05T08:00:00Z")).toBeLessThan(30 * 60_000);
  });
});

describe("abort", () => {
  test("at any time of a release that another run works on sends all traffic back, and both end", {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 720_000 }),
        fc.integer({ min: 0, max: 20 }),
        async (delay, staleness) => {
          const simulated = simulate();
          simulated.simulator.options.staleness = staleness;
          // Azure has no conditional writes: with old reads, a raise can follow the way back, and abort repeats it.
          if (staleness > 0) simulated.rules.allow(/ after a failure$| goes from | without its label$| rises from /);
          const { virtualClock } = simulated.simulator;
          virtualClock.runners = 2;
          const running = simulated.run(goal(), { owner: "runner" }).then((ended) => {
            virtualClock.runners -= 1;
            return ended;
          });
          await virtualClock.sleep(delay);
          const { outcome } = await simulated.run(abort, { owner: "person" });
          virtualClock.runners -= 1;
          const other = await running;
          if (outcome === "nothing" || outcome === "input") {
            expect(other.outcome).toBe("promoted");
            return;
          }
          expect(outcome).toBe("aborted");
          expect(other.outcome).toBe("rolledBack");
          expect(simulated.weights.at(-1)).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("somebody else's write", () => {
  test("of other weights ends the run, which touches nothing", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    let isDone = false;
    const ended = await simulated.run(goal(), {
      onReport: ({ phase, live, next, checks }) => {
        if (phase !== "step 1 of 2" || isDone || !next || checks[0]?.next.total === 0) return;
        isDone = true;
        const traffic = [
          { revisionName: live.revision, weight: 60, label: "blue" },
          { revisionName: next.revision, weight: 40, label: "green" },
        ];
        simulator.writeAs({ properties: { configuration: { ingress: { traffic } } } });
      },
    });
    expect(ended.outcome).toBe("foreign");
    expect(ended.message).toContain("60 % (blue)");
    expect(simulator.app.wanted.ingress?.traffic.map(({ weight }) => weight)).toEqual([60, 40]);
  });

  test("that drops the tags starts the step again", async () => {
    const simulated = simulate();
    let isDone = false;
    const ended = await simulated.run(goal(), {
      onReport: ({ phase, checks }) => {
        if (phase !== "step 2 of 2" || isDone || (checks[0]?.next.total ?? 0) === 0) return;
        isDone = true;
        simulated.simulator.writeAs({ tags: { team: "b" } });
      },
    });
    expect(ended.outcome).toBe("promoted");
    expect(simulated.weights).toEqual([0, 5, 50, 100]);
    expect(simulated.simulator.app.wanted.tags.team).toBe("b");
  });
});

describe("a fault of Azure that lasts", () => {
  test("in the way back ends as unconfirmed after 10 minutes, and the next run finishes it", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    simulator.options.intercept = ({ method, body }) =>
      method === "PATCH" && body.includes("phase=back") ? faults.busy : undefined;
    const ended = await simulated.run(goal("errors"));
    expect(ended.outcome).toBe("unconfirmed");
    simulator.options.intercept = undefined;
    expect((await simulated.run(resume)).outcome).toBe("rolledBack");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test("while the traffic rises sends it back", async () => {
    const simulated = simulate();
    simulated.simulator.options.intercept = ({ method, body }) =>
      method === "PATCH" && body.includes("step=2") && body.includes("phase=step") ? faults.busyInText : undefined;
    const ended = await simulated.run(goal());
    expect(ended.outcome).toBe("rolledBack");
    expect(simulated.weights).toEqual([0, 5, 0]);
  });

  test.each(["isStuck", "dropsTags"] as const)("%s in a step ends without more traffic", async (name) => {
    const simulated = simulate();
    const { simulator } = simulated;
    const ended = await simulated.run(goal(), {
      onReport: ({ phase, checks }) => {
        if (phase === "step 1 of 2" && (checks[0]?.next.total ?? 0) > 0) simulator.app.switches[name] = true;
      },
    });
    expect(ended.outcome).toBe("unconfirmed");
    expect(Math.max(...simulated.weights)).toBe(5);
    simulator.app.switches[name] = false;
    simulator.virtualClock.advance(60_000);
    await simulated.run(abort);
    expect(simulated.weights.at(-1)).toBe(0);
    expect(simulated.rules.violations).toEqual([]);
  });

  test.each([
    ["lost", faults.lost],
    ["hanging", faults.hanging],
    ["unavailable", faults.unavailable],
    ["throttled", faults.throttled(30)],
  ])("%s ends as unreachable, and nothing is raised", async (_, fault) => {
    const simulated = simulate();
    simulated.simulator.options.intercept = ({ number }) => (number > 80 ? fault : undefined);
    const ended = await simulated.run(goal());
    expect(ended.outcome).toBe("unreachable");
    expect(simulated.weights).toEqual([0, 5]);
    simulated.simulator.options.intercept = undefined;
    expect((await simulated.run(resume)).outcome).toBe("promoted");
  });

  test("of permissions ends within a minute when nothing has begun", async () => {
    const simulated = simulate();
    const { virtualClock, options } = simulated.simulator;
    options.intercept = ({ method }) => (method === "PATCH" ? faults.denied : undefined);
    const before = virtualClock.now();
    const ended = await simulated.run(goal());
    expect(ended.outcome).toBe("input");
    expect(ended.message).toContain("role");
    expect(virtualClock.now() - before).toBeLessThan(60_000);
  });

  test("of permissions ends at once when the app cannot be read", async () => {
    const simulated = simulate();
    let requests = 0;
    simulated.simulator.options.intercept = () => {
      requests += 1;
      return faults.denied;
    };
    expect((await simulated.run(goal())).outcome).toBe("input");
    expect(requests).toBe(1);
  });

  test("of reads that are up to 40 seconds old breaks no rule, and the release ends as it should", {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 40 }), fc.boolean(), async (staleness, isGood) => {
        const simulated = simulate();
        simulated.simulator.options.staleness = staleness;
        const ended = await simulated.run(goal(isGood ? "good" : "errors"));
        expect(ended.outcome).toBe(isGood ? "promoted" : "rolledBack");
        expect(simulated.weights).toEqual(isGood ? [0, 5, 50, 100] : [0, 5, 0]);
        expect(simulated.rules.violations).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });
});
